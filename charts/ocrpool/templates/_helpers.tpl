{{/* The name of what the chart makes: the release's, with the chart's unless it says it already. */}}
{{- define "ocrpool.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "ocrpool.operator" -}}
{{ include "ocrpool.fullname" . }}-operator
{{- end }}

{{/* The operator's name, also where an upgrade reuses values that are older than it. */}}
{{- define "ocrpool.name" -}}
{{ .Values.operator.name | default "ocrpool" }}
{{- end }}

{{/* What follows from the operator's name, so that no two releases have it for the same pools: its
Lease and its roles. */}}
{{- define "ocrpool.shared" -}}
{{ include "ocrpool.name" . }}-operator
{{- end }}

{{/* Fails where a role is another release's. Takes a list: the root, kind, namespace, name. */}}
{{- define "ocrpool.ours" -}}
{{- $root := index . 0 -}}
{{- $there := lookup "rbac.authorization.k8s.io/v1" (index . 1) (index . 2) (index . 3) | default dict -}}
{{- $notes := ($there.metadata | default dict).annotations | default dict -}}
{{- $release := get $notes "meta.helm.sh/release-name" -}}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" -}}
{{- if and $release (or (ne $release $root.Release.Name) (ne $namespace $root.Release.Namespace)) -}}
{{- fail (printf "operator.name: the release %s in namespace %s has an operator called %s for the same pools already. Give this one another operator.name, and its pools that name as spec.operatorName" $release $namespace (include "ocrpool.name" $root)) -}}
{{- end -}}
{{- end }}

{{- define "ocrpool.selector" -}}
app.kubernetes.io/name: ocrpool-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ocrpool.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: ocrpool
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ocrpool.labels" -}}
{{ include "ocrpool.selector" . }}
{{ include "ocrpool.commonLabels" . }}
{{- end }}

{{- define "ocrpool.account" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- .Values.operator.serviceAccount.name | default (include "ocrpool.operator" .) -}}
{{- else -}}
{{- required "operator.serviceAccount.name: name the account, or let the chart create it" .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* An image by digest where there is one, else by tag. Takes a list: the root, the image. */}}
{{- define "ocrpool.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* Subject of every binding. */}}
{{- define "ocrpool.subjects" -}}
- kind: ServiceAccount
  name: {{ include "ocrpool.account" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Who may reach the ports of workers and proxies: 8080 takes pages; 8081 of a worker and 8405 of a
proxy are for the operator and for metrics. */}}
{{- define "ocrpool.ingress" -}}
- ports: [{port: 8080, protocol: TCP}]
  {{- with .Values.networkPolicy.clients }}
  from:
    # The proxy in front of the workers of a pool.
    - podSelector:
        matchLabels:
          app.kubernetes.io/name: ocrpool-proxy
          app.kubernetes.io/managed-by: ocrpool-operator
    # helm test
    - podSelector:
        matchLabels:
          {{- include "ocrpool.testSelector" $ | nindent 10 }}
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $.Release.Namespace }}}}
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports: [{port: 8081, protocol: TCP}, {port: 8405, protocol: TCP}]
  from:
    - podSelector:
        matchLabels:
          {{- include "ocrpool.selector" . | nindent 10 }}
      namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}}
    {{- with .Values.networkPolicy.metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "ocrpool.testSelector" -}}
app.kubernetes.io/name: ocrpool-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

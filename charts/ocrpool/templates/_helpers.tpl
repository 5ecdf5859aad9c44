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

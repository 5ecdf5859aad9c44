/* Stands in for NVIDIA's driver library under the real pynvml: libnvidia-ml.so.1.
 *
 * Devices are the folders 0, 1, … below $FAKEGPU_ROOT (/run/fakegpu without); device.py says what
 * is in them. Functions that are absent here answer NVMLError_FunctionNotFound in pynvml, as with
 * an old driver. fakegpuCharge and fakegpuChargeUuid are ours: how a test's process takes memory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4,
       NOT_FOUND = 6, TOO_SMALL = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, RESET_REQUIRED = 16,
       UNKNOWN = 999 };
enum { OUT_OF_MEMORY = 1 };  /* fakegpuCharge's own */
enum { MOST = 16, MOST_SLICES = 7, WHOLE = -1, ADDRESS = 512 };

typedef unsigned long long bytes_t;
/* A GPU, or with `slice` ≥ 0 a MIG slice of it, which is a device folder of its own. */
typedef struct device { int index, folder, slice, charge; } *device_t;
typedef struct { bytes_t total, free, used; } memory_t;
typedef struct { unsigned version; bytes_t total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct {
    char old_id[16];
    unsigned domain, bus, device, ids, subsystem;
    char id[32];
} pci_t;

static struct device devices[MOST], slices[MOST][MOST_SLICES];
static int count = -1;

static void path_of(device_t device, const char *name, char *path)
{
    const char *given = getenv("FAKEGPU_ROOT"), *root = given ? given : "/run/fakegpu";
    if (device->slice == WHOLE)
        snprintf(path, ADDRESS, "%s/%d/%s", root, device->folder, name);
    else
        snprintf(path, ADDRESS, "%s/%d/mig/%d/%s", root, device->folder, device->slice, name);
}

/* The text of one of the device's files; empty where there is none. */
static void text_of(device_t device, const char *name, char *text, int size)
{
    char path[ADDRESS];
    path_of(device, name, path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int got = file < 0 ? 0 : (int)read(file, text, size - 1);
    text[got > 0 ? got : 0] = 0;
    if (file >= 0)
        close(file);
}

static bytes_t figure_of(device_t device, const char *name)
{
    char text[64];
    text_of(device, name, text, sizeof text);
    return strtoull(text, NULL, 10);
}

static bool is_there(device_t device)
{
    char path[ADDRESS];
    path_of(device, "uuid", path);
    return access(path, R_OK) == 0;
}

static bool is_sliced(device_t device)
{
    char path[ADDRESS];
    path_of(device, "mig", path);
    return device->slice == WHOLE && access(path, F_OK) == 0;
}

/* What goes wrong with a device at this moment: an NVML error by its number, or none. */
static int fault_of(device_t device) { return (int)figure_of(device, "fault"); }

static int find_devices(void)
{
    if (count >= 0)
        return SUCCESS;
    int found = 0;
    for (int folder = 0; folder < MOST; folder++) {
        devices[found] = (struct device){found, folder, WHOLE, -1};
        if (!is_there(&devices[found]))
            continue;
        for (int slice = 0; slice < MOST_SLICES; slice++)
            slices[found][slice] = (struct device){slice, folder, slice, -1};
        found++;
    }
    if (found == 0)
        return DRIVER_NOT_LOADED;
    count = found;
    return SUCCESS;
}

/* Other processes, and every charge whose lock a living process holds. */
static bytes_t used_of(device_t device)
{
    bytes_t used = figure_of(device, "used");
    char path[ADDRESS];
    path_of(device, "charges", path);
    DIR *charges = opendir(path);
    for (struct dirent *entry; charges && (entry = readdir(charges));) {
        char text[64] = "";
        if (entry->d_name[0] == '.')
            continue;
        int file = openat(dirfd(charges), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        if (flock(file, LOCK_SH | LOCK_NB) < 0 && read(file, text, sizeof text - 1) > 0)
            used += strtoull(text, NULL, 10);
        close(file);
    }
    if (charges)
        closedir(charges);
    return used;
}

static int open_charge(device_t device)
{
    char hidden[ADDRESS], shown[ADDRESS];
    path_of(device, "charges/.XXXXXX", hidden);
    int file = mkostemp(hidden, O_CLOEXEC);
    if (file < 0)
        return file;
    /* Shown only once it is locked: whoever finds it unlocked knows that its process is dead. */
    strcpy(shown, hidden);
    char *name = strrchr(shown, '/') + 1;
    memmove(name, name + 1, strlen(name));
    if (fchmod(file, 0644) || flock(file, LOCK_EX) || rename(hidden, shown)) {
        close(file);
        return -1;
    }
    return file;
}

static int charge(device_t device, bytes_t amount)
{
    char path[ADDRESS], text[64] = "";
    int fault = fault_of(device);
    if (fault)
        return fault;
    path_of(device, "charges", path);
    int gate = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (gate < 0 || flock(gate, LOCK_EX))
        return UNKNOWN;
    if (device->charge < 0)
        device->charge = open_charge(device);
    int result = device->charge < 0 ? UNKNOWN : SUCCESS;
    if (result == SUCCESS) {
        bytes_t held = 0;
        if (pread(device->charge, text, sizeof text - 1, 0) > 0)
            held = strtoull(text, NULL, 10);
        if (used_of(device) - held + amount > figure_of(device, "total")) {
            result = OUT_OF_MEMORY;
        } else {
            /* Of one length always, so that a reader never sees a mixture of two figures. */
            snprintf(text, sizeof text, "%020llu", amount);
            if (pwrite(device->charge, text, 20, 0) != 20)
                result = UNKNOWN;
        }
    }
    close(gate);
    return result;
}

int nvmlInit_v2(void) { return find_devices(); }
int nvmlInit(void) { return find_devices(); }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return find_devices(); }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int error)
{
    switch (error) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    case RESET_REQUIRED: return "GPU requires reset";
    default: return "Unknown Error";
    }
}

static int copy(char *to, unsigned length, const char *from)
{
    if (strlen(from) >= length)
        return TOO_SMALL;
    strcpy(to, from);
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) { return copy(text, length, "0.fake"); }

int nvmlDeviceGetCount_v2(unsigned *number)
{
    if (count < 0)
        return UNINITIALIZED;
    *number = count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device)
{
    if (count < 0)
        return UNINITIALIZED;
    if (index >= (unsigned)count)
        return INVALID;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(device_t device, char *text, unsigned length)
{
    char uuid[96];
    if (fault_of(device))
        return fault_of(device);
    text_of(device, "uuid", uuid, sizeof uuid);
    return copy(text, length, uuid);
}

int nvmlDeviceGetName(device_t device, char *text, unsigned length)
{
    char name[96];
    if (fault_of(device))
        return fault_of(device);
    text_of(device, "name", name, sizeof name);
    return copy(text, length, name);
}

/* A place on the bus; without a word on it, that of its number. */
int nvmlDeviceGetPciInfo_v3(device_t device, pci_t *pci)
{
    if (fault_of(device))
        return fault_of(device);
    unsigned bus = (unsigned)figure_of(device, "bus");
    *pci = (pci_t){.bus = bus ? bus : (unsigned)device->folder + 1};
    snprintf(pci->id, sizeof pci->id, "00000000:%02X:00.0", pci->bus);
    snprintf(pci->old_id, sizeof pci->old_id, "0000:%02X:00.0", pci->bus & 0xff);
    return SUCCESS;
}

static bool has_uuid(device_t device, const char *wanted)
{
    char uuid[96];
    text_of(device, "uuid", uuid, sizeof uuid);
    return *uuid && strcmp(uuid, wanted) == 0;
}

int nvmlDeviceGetHandleByUUID(const char *wanted, device_t *device)
{
    if (count < 0)
        return UNINITIALIZED;
    for (int index = 0; index < count; index++) {
        *device = &devices[index];
        if (has_uuid(*device, wanted))
            return fault_of(*device);
        for (int slice = 0; slice < MOST_SLICES; slice++) {
            *device = &slices[index][slice];
            if (has_uuid(*device, wanted))
                return fault_of(*device);
        }
    }
    return NOT_FOUND;
}

/* From now on this process holds `amount` bytes of a device. 0: done, 1: out of memory, else what
 * NVML would say. */
int fakegpuCharge(unsigned index, bytes_t amount)
{
    if (find_devices() || index >= (unsigned)count)
        return INVALID;
    return charge(&devices[index], amount);
}

/* The same for a GPU or a slice by its UUID, as CUDA_VISIBLE_DEVICES names it. */
int fakegpuChargeUuid(const char *uuid, bytes_t amount)
{
    device_t device;
    int error = find_devices();
    if (!error)
        error = nvmlDeviceGetHandleByUUID(uuid, &device);
    return error == OUT_OF_MEMORY ? UNKNOWN : error ? error : charge(device, amount);
}

int nvmlDeviceGetIndex(device_t device, unsigned *index)
{
    *index = device->index;
    return SUCCESS;
}

int nvmlDeviceGetMinorNumber(device_t device, unsigned *number)
{
    *number = device->folder;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device_t device, memory_t *memory)
{
    int fault = fault_of(device);
    if (fault)
        return fault;
    if (is_sliced(device))
        return NO_PERMISSION;
    char claim[64], *rest;
    text_of(device, "claim", claim, sizeof claim);
    if (*claim) {  /* whatever it says, true or not */
        *memory = (memory_t){strtoull(claim, &rest, 10), 0, 0};
        memory->free = strtoull(rest, NULL, 10);
        return SUCCESS;
    }
    bytes_t total = figure_of(device, "total"), used = used_of(device);
    *memory = (memory_t){total, used < total ? total - used : 0, used < total ? used : total};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_v2_t *memory)
{
    memory_t plain;
    int error = nvmlDeviceGetMemoryInfo(device, &plain);
    if (error)
        return error;
    *memory = (memory_v2_t){memory->version, plain.total, 0, plain.free, plain.used};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *rates)
{
    if (device->slice != WHOLE || is_sliced(device))
        return NOT_SUPPORTED;
    *rates = (utilization_t){0, 0};
    return SUCCESS;
}

int nvmlDeviceGetMigMode(device_t device, unsigned *current, unsigned *pending)
{
    if (device->slice != WHOLE)
        return NOT_SUPPORTED;
    *current = *pending = is_sliced(device);
    return fault_of(device);
}

int nvmlDeviceGetMaxMigDeviceCount(device_t device, unsigned *number)
{
    *number = is_sliced(device) ? MOST_SLICES : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t device, unsigned index, device_t *slice)
{
    if (device->slice != WHOLE || index >= MOST_SLICES)
        return INVALID;
    *slice = &slices[device->index][index];
    return is_there(*slice) ? SUCCESS : NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(device_t device, unsigned *is_slice)
{
    *is_slice = device->slice != WHOLE;
    return SUCCESS;
}

/* No word on processes: what a container often gets from the real driver. */
int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned *number, void *list)
{
    (void)device, (void)list;
    *number = 0;
    return SUCCESS;
}

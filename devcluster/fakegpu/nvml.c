/* Stands in for NVIDIA's driver library under the real pynvml: libnvidia-ml.so.1.
 *
 * Devices are the folders 0, 1, … below $FAKEGPU_ROOT (/run/fakegpu without); device.py says what
 * is in them. Functions that are absent here answer NVMLError_FunctionNotFound in pynvml, as with
 * an old driver. fakegpuCharge is ours: how a test's process takes memory of a device.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7,
       DRIVER_NOT_LOADED = 9, UNKNOWN = 999 };
enum { MOST = 16, ADDRESS = 512 };

typedef unsigned long long bytes_t;
typedef struct device { int index, folder, charge; } *device_t;
typedef struct { bytes_t total, free, used; } memory_t;
typedef struct { unsigned version; bytes_t total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned gpu, memory; } utilization_t;

static struct device devices[MOST];
static int count = -1;

static void path_of(device_t device, const char *name, char *path)
{
    const char *root = getenv("FAKEGPU_ROOT");
    snprintf(path, ADDRESS, "%s/%d/%s", root ? root : "/run/fakegpu", device->folder, name);
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

static int find_devices(void)
{
    if (count >= 0)
        return SUCCESS;
    int found = 0;
    for (int folder = 0; folder < MOST; folder++) {
        char path[ADDRESS];
        devices[found] = (struct device){found, folder, -1};
        path_of(&devices[found], "uuid", path);
        if (access(path, R_OK) == 0)
            found++;
    }
    if (found == 0)
        return DRIVER_NOT_LOADED;
    count = found;
    return SUCCESS;
}

/* Strangers, and every charge whose lock a living process holds. */
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

/* From now on this process holds `amount` bytes of the device. 0: done, 1: out of memory. */
int fakegpuCharge(unsigned index, bytes_t amount)
{
    if (find_devices() || index >= (unsigned)count)
        return INVALID;
    device_t device = &devices[index];
    char path[ADDRESS], text[64] = "";
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
            result = 1;
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
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
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
    text_of(device, "uuid", uuid, sizeof uuid);
    return copy(text, length, uuid);
}

int nvmlDeviceGetName(device_t device, char *text, unsigned length)
{
    char name[96];
    text_of(device, "name", name, sizeof name);
    return copy(text, length, name);
}

int nvmlDeviceGetHandleByUUID(const char *wanted, device_t *device)
{
    if (count < 0)
        return UNINITIALIZED;
    for (int index = 0; index < count; index++) {
        char uuid[96];
        text_of(&devices[index], "uuid", uuid, sizeof uuid);
        if (strcmp(uuid, wanted) == 0) {
            *device = &devices[index];
            return SUCCESS;
        }
    }
    return NOT_FOUND;
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
    bytes_t total = figure_of(device, "total"), used = used_of(device);
    *memory = (memory_t){total, used < total ? total - used : 0, used < total ? used : total};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_v2_t *memory)
{
    memory_t plain;
    nvmlDeviceGetMemoryInfo(device, &plain);
    *memory = (memory_v2_t){memory->version, plain.total, 0, plain.free, plain.used};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *rates)
{
    (void)device;
    *rates = (utilization_t){0, 0};
    return SUCCESS;
}

/* No slices, and no word on processes: what a container often gets from the real driver. */
int nvmlDeviceGetMigMode(device_t device, unsigned *current, unsigned *pending)
{
    (void)device, (void)current, (void)pending;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned *number, void *list)
{
    (void)device, (void)list;
    *number = 0;
    return SUCCESS;
}

/* ranges.c - what a profiler is for NVTX: a library that NVTX_INJECTION64_PATH names. It writes
 * down the ranges, "pass(embed()layer 0(norm()...". */
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <string.h>

#include "format/eet_types.h"

enum { ROOM = 1 << 16 };

static char text[ROOM];

EET_API const char *eet_ranges_text(void);
EET_API int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t find);

const char *eet_ranges_text(void) {
    return text;
}

static void add(const char *name, const char *end) {
    const size_t length = strlen(text);

    (void)snprintf(text + length, ROOM - length, "%s%s", name, end);
}

static int push(const char *name) {
    add(name, "(");
    return 0;
}

static int pop(void) {
    add("", ")");
    return 0;
}

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t find) {
    int (*const pushes)(const char *) = push;
    int (*const pops)(void) = pop;
    const NvtxExportTableCallbacks *callbacks = find(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table = NULL;
    unsigned size = 0;

    if (callbacks == NULL ||
        callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0 ||
        size <= NVTX_CBID_CORE_RangePop) {
        return 0;
    }
    memcpy(table[NVTX_CBID_CORE_RangePushA], &pushes, sizeof pushes);
    memcpy(table[NVTX_CBID_CORE_RangePop], &pops, sizeof pops);
    return 1;
}

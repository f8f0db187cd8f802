/* pickle_globals.c - the globals that mean something, and those that mean harm. */
#include <string.h>

#include "converter/pickle_machine.h"
#include "format/utf8.h"

enum { MAX_NAME = 255 };

/* What Python 2 and numpy 2 call these modules; `prefix`: and what lies below. */
static const struct {
    const char *written, *meant;
    bool prefix;
} renamed[] = {
    {"__builtin__", "builtins", false},
    {"copy_reg", "copyreg", false},
    {"numpy._core", "numpy.core", true},
};

/* The constructors of plain Python that are evaluated, to plain values. */
static const struct {
    const char *module, *name;
    eet_pickle_known known;
} constructors[] = {
    {"collections", "OrderedDict", EET_KNOWN_MAP},
    {"collections", "Counter", EET_KNOWN_MAP},
    {"collections", "defaultdict", EET_KNOWN_DEFAULT},
    {"argparse", "Namespace", EET_KNOWN_SPACE},
    {"builtins", "dict", EET_KNOWN_MAP},
    {"builtins", "list", EET_KNOWN_LIST},
    {"builtins", "tuple", EET_KNOWN_TUPLE},
    {"builtins", "set", EET_KNOWN_SET},
    {"builtins", "frozenset", EET_KNOWN_SET},
    {"builtins", "bytes", EET_KNOWN_BYTES},
    {"builtins", "bytearray", EET_KNOWN_BYTES},
    {"_codecs", "encode", EET_KNOWN_BYTES},
    {"copyreg", "_reconstructor", EET_KNOWN_RECONSTRUCT},
};

/* What malicious pickles call, name NULL: anything in the module and below it. An
 * alarm, not the defence: nothing is ever called. */
static const struct {
    const char *module, *name;
} gadgets[] = {
    {"os", NULL},
    {"posix", NULL},
    {"nt", NULL},
    {"subprocess", NULL},
    {"_posixsubprocess", NULL},
    {"commands", NULL},
    {"popen2", NULL},
    {"runpy", NULL},
    {"pty", NULL},
    {"socket", NULL},
    {"_socket", NULL},
    {"importlib", NULL},
    {"ctypes", NULL},
    {"_ctypes", NULL},
    {"pip", NULL},
    {"asyncio", NULL},
    {"webbrowser", NULL},
    {"shutil", NULL},
    {"sys", NULL},
    {"code", NULL},
    {"pdb", NULL},
    {"timeit", NULL},
    {"builtins", "eval"},
    {"builtins", "exec"},
    {"builtins", "execfile"},
    {"builtins", "compile"},
    {"builtins", "__import__"},
    {"builtins", "open"},
    {"builtins", "breakpoint"},
};

/* Is `text` (bytes of it) `module`, or something below it? */
static bool is_below(const char *text, const char *module) {
    const size_t bytes = strlen(module);

    return strncmp(text, module, bytes) == 0 && (text[bytes] == '\0' || text[bytes] == '.');
}

/* From protocol 4 on a name may be a path: torch.serialization "os.system". */
static bool passes_through(const char *path, const char *module) {
    for (const char *at = path; at != NULL; at = strchr(at, '.')) {
        at += *at == '.' ? 1 : 0;
        const size_t bytes = strlen(module);

        if (strncmp(at, module, bytes) == 0 && at[bytes] == '.') {
            return true;
        }
    }
    return false;
}

bool eet_pickle_is_gadget(const eet_pickle_node *global) {
    const char *module = global->a.module;
    const char *name = global->b.name;

    for (size_t i = 0; i < sizeof gadgets / sizeof gadgets[0]; i++) {
        if (gadgets[i].name == NULL &&
            (is_below(module, gadgets[i].module) || passes_through(name, gadgets[i].module))) {
            return true;
        }
        if (gadgets[i].name != NULL && strcmp(module, gadgets[i].module) == 0 &&
            strcmp(name, gadgets[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static eet_status copy_name(eet_machine *m, const char *before, const char *text, uint64_t bytes,
                            const char **out) {
    const size_t front = strlen(before);
    void *room = NULL;
    eet_status status = eet_pickle_allocate(m, front + bytes + 1, &room);

    if (status == EET_OK) {
        char *copy = room;

        memcpy(copy, before, front);
        memcpy(copy + front, text, (size_t)bytes);
        copy[front + bytes] = '\0';
        *out = copy;
    }
    return status;
}

static eet_status copy_module(eet_machine *m, const char *text, uint64_t bytes, const char **out) {
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++) {
        const size_t front = strlen(renamed[i].written);

        if (bytes < front || memcmp(text, renamed[i].written, front) != 0) {
            continue;
        }
        if (bytes == front || (renamed[i].prefix && text[front] == '.')) {
            return copy_name(m, renamed[i].meant, text + front, bytes - front, out);
        }
    }
    return copy_name(m, "", text, bytes, out);
}

static eet_status check_name(eet_machine *m, const char *text, uint64_t bytes) {
    if (bytes == 0 || bytes > MAX_NAME || !eet_utf8_clean(text, bytes)) {
        return eet_pickle_corrupt(m, "%s of a name that no module or class has", m->op_name);
    }
    return EET_OK;
}

eet_status eet_pickle_resolve(eet_machine *m, const char *module, uint64_t module_bytes,
                              const char *name, uint64_t name_bytes, eet_pickle_node **out) {
    eet_pickle_node *made = NULL;
    eet_status status = check_name(m, module, module_bytes);

    if (status == EET_OK) {
        status = check_name(m, name, name_bytes);
    }
    if (status == EET_OK) {
        status = eet_pickle_node_make(m, EET_PICKLE_GLOBAL, &made);
    }
    if (status == EET_OK) {
        status = copy_module(m, module, module_bytes, &made->a.module);
    }
    if (status == EET_OK) {
        status = copy_name(m, "", name, name_bytes, &made->b.name);
    }
    for (size_t i = 0; status == EET_OK && i < sizeof constructors / sizeof constructors[0]; i++) {
        if (eet_pickle_is_global(made, constructors[i].module, constructors[i].name)) {
            made->known = (uint8_t)constructors[i].known;
        }
    }
    if (status == EET_OK) {
        *out = made;
    }
    return status;
}

eet_status eet_pickle_op_global(eet_machine *m) {
    const char *module = NULL;
    const char *name = NULL;
    uint64_t module_bytes = 0;
    uint64_t name_bytes = 0;
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_take_line(m, &module, &module_bytes);

    if (status == EET_OK) {
        status = eet_pickle_take_line(m, &name, &name_bytes);
    }
    if (status == EET_OK) {
        status = eet_pickle_resolve(m, module, module_bytes, name, name_bytes, &made);
    }
    return status == EET_OK ? eet_pickle_push(m, made) : status;
}

eet_status eet_pickle_op_stack_global(eet_machine *m) {
    eet_pickle_node *name = NULL;
    eet_pickle_node *module = NULL;
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_pop(m, &name);

    if (status == EET_OK) {
        status = eet_pickle_pop(m, &module);
    }
    if (status == EET_OK && (name->kind != EET_PICKLE_TEXT || module->kind != EET_PICKLE_TEXT)) {
        return eet_pickle_corrupt(m, "STACK_GLOBAL of %s and %s, not of two strings",
                                  eet_pickle_kind_name(module), eet_pickle_kind_name(name));
    }
    if (status == EET_OK) {
        status =
            eet_pickle_resolve(m, module->a.text, module->count, name->a.text, name->count, &made);
    }
    return status == EET_OK ? eet_pickle_push(m, made) : status;
}

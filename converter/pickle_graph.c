/* pickle_graph.c - what a graph of nodes answers to those who read it. */
#include <stdio.h>
#include <string.h>

#include "converter/pickle_machine.h"

const eet_pickle_node *eet_pickle_root(const eet_pickle *pickle) {
    return pickle->root;
}

eet_pickle_kind eet_pickle_kind_of(const eet_pickle_node *node) {
    return (eet_pickle_kind)node->kind;
}

const char *eet_pickle_kind_name(const eet_pickle_node *node) {
    static const char *const names[] = {
#define X(symbol, name) [symbol] = name,
        EET_PICKLE_KIND_MAP(X)
#undef X
    };

    return names[node->kind];
}

const eet_pickle_node *eet_pickle_first_storage(const eet_pickle *pickle) {
    return pickle->first_storage;
}

const eet_pickle_node *eet_pickle_next_storage(const eet_pickle_node *storage) {
    return storage->b.next;
}

bool eet_pickle_bool(const eet_pickle_node *node, bool *out) {
    if (node->kind != EET_PICKLE_BOOL) {
        return false;
    }
    *out = node->a.integer != 0;
    return true;
}

bool eet_pickle_int(const eet_pickle_node *node, int64_t *out) {
    if (node->kind != EET_PICKLE_INT) {
        return false;
    }
    *out = node->a.integer;
    return true;
}

bool eet_pickle_float(const eet_pickle_node *node, double *out) {
    if (node->kind != EET_PICKLE_FLOAT) {
        return false;
    }
    *out = node->a.real;
    return true;
}

const char *eet_pickle_text(const eet_pickle_node *node, uint32_t *bytes) {
    if (node->kind != EET_PICKLE_TEXT && node->kind != EET_PICKLE_BYTES &&
        node->kind != EET_PICKLE_BIG) {
        *bytes = 0;
        return NULL;
    }
    *bytes = node->count;
    return node->a.text;
}

bool eet_pickle_is_text(const eet_pickle_node *node, const char *text) {
    return node->kind == EET_PICKLE_TEXT && node->count == strlen(text) &&
           memcmp(node->a.text, text, node->count) == 0;
}

uint32_t eet_pickle_count(const eet_pickle_node *node) {
    if (node->kind == EET_PICKLE_STORAGE) {
        return node->a.tuple->count;
    }
    return node->kind >= EET_PICKLE_TUPLE && node->kind <= EET_PICKLE_DICT ? node->count : 0;
}

const eet_pickle_node *eet_pickle_item(const eet_pickle_node *node, uint32_t index) {
    const eet_pickle_node *list = node->kind == EET_PICKLE_STORAGE ? node->a.tuple : node;

    return list->a.items[index];
}

const eet_pickle_node *eet_pickle_key(const eet_pickle_node *node, uint32_t index) {
    return node->a.items[2 * (uint64_t)index];
}

const eet_pickle_node *eet_pickle_value(const eet_pickle_node *node, uint32_t index) {
    return node->a.items[2 * (uint64_t)index + 1];
}

eet_status eet_pickle_find(const eet_pickle_node *dict, const char *key,
                           const eet_pickle_node **out, eet_error *err) {
    const eet_pickle_node *found = NULL;
    const uint32_t count = dict->kind == EET_PICKLE_DICT ? dict->count : 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!eet_pickle_is_text(eet_pickle_key(dict, i), key)) {
            continue;
        }
        if (found != NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the key \"%s\" stands twice in a map",
                            key);
        }
        found = eet_pickle_value(dict, i);
    }
    *out = found;
    return EET_OK;
}

bool eet_pickle_is_global(const eet_pickle_node *node, const char *module, const char *name) {
    return node->kind == EET_PICKLE_GLOBAL && strcmp(node->a.module, module) == 0 &&
           strcmp(node->b.name, name) == 0;
}

const char *eet_pickle_module(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_GLOBAL ? node->a.module : NULL;
}

const char *eet_pickle_name(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_GLOBAL ? node->b.name : NULL;
}

const eet_pickle_node *eet_pickle_callable(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_CALL ? node->a.callable : NULL;
}

const eet_pickle_node *eet_pickle_arguments(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_CALL ? node->b.arguments : NULL;
}

const eet_pickle_node *eet_pickle_state(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_CALL || node->kind == EET_PICKLE_DICT ? node->state : NULL;
}

const char *eet_pickle_describe(const eet_pickle_node *node, eet_pickle_label *buffer) {
    const eet_pickle_node *global = node->kind == EET_PICKLE_CALL ? node->a.callable : node;

    if (global->kind == EET_PICKLE_GLOBAL) {
        snprintf(buffer->text, sizeof buffer->text, "%s.%s", global->a.module, global->b.name);
    } else {
        snprintf(buffer->text, sizeof buffer->text, "%s", eet_pickle_kind_name(node));
    }
    return buffer->text;
}

/* arch.c - looks things up in the tables of archs/. */
#include "converter/arch.h"

#include <string.h>

typedef struct symbol_row {
    const char *name;
    uint32_t fact;
} symbol_row;

static const symbol_row symbols[EET_SYMBOLS] = {{"nothing", EET_NO_FACT},
#define X(symbol, name, fact) {name, fact},
                                                EET_SYMBOL_MAP(X)
#undef X
};

const eet_class *eet_class_named(const char *name, const eet_family **family) {
    for (int f = 0; eet_families[f] != NULL; f++) {
        for (const eet_class *c = eet_families[f]->classes; c->name != NULL; c++) {
            if (strcmp(c->name, name) == 0) {
                *family = eet_families[f];
                return c;
            }
        }
    }
    return NULL;
}

const eet_family *eet_family_named(const char *name) {
    for (int f = 0; eet_families[f] != NULL; f++) {
        if (strcmp(eet_families[f]->name, name) == 0) {
            return eet_families[f];
        }
    }
    return NULL;
}

bool eet_act_named(const char *name, int32_t *act) {
    for (const eet_act_row *row = eet_act_rows; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0) {
            *act = row->act;
            return true;
        }
    }
    return false;
}

const char *eet_symbol_name(eet_symbol symbol) {
    return symbols[symbol].name;
}

uint32_t eet_symbol_fact(eet_symbol symbol) {
    return symbols[symbol].fact;
}

uint64_t eet_rule_drop(const eet_rule *rule, const eet_facts *facts) {
    const int stack = rule->spot.group == EET_GROUP_DEC ? EET_DEC : EET_ENC;

    return rule->drop_pad ? (uint64_t)facts->stack[stack].tok_pad + 1 : rule->drop_rows;
}

/* Reads the digits of a layer; -2 where there are none that count. */
static int32_t read_layer(const char **at) {
    enum { MAX_DIGITS = 6 };
    const char *p = *at;
    int32_t layer = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (p - *at == MAX_DIGITS || (p > *at && **at == '0')) {
            return -2;
        }
        layer = layer * 10 + (*p - '0');
    }
    if (p == *at || *p != '.') {
        return -2;
    }
    *at = p;
    return layer;
}

int32_t eet_pattern_match(const char *pattern, const char *prefix, const char *name) {
    const size_t length = strlen(prefix);
    int32_t layer = -1;

    if (strncmp(name, prefix, length) != 0) {
        return -2;
    }
    for (name += length; *pattern != '\0'; pattern++) {
        if (*pattern == '*') {
            layer = read_layer(&name);
            if (layer < 0) {
                return -2;
            }
        } else if (*pattern == '?') {
            if (*name == '\0' || *name == '.') {
                return -2;
            }
            name += strcspn(name, ".");
        } else if (*pattern != *name++) {
            return -2;
        }
    }
    return *name == '\0' ? layer : -2;
}

const char *eet_pattern_named(const char *pattern, const char *prefix, const char *name,
                              size_t *bytes) {
    const char *hole = strchr(pattern, '?');

    if (hole == NULL) {
        return NULL;
    }
    name += strlen(prefix) + (size_t)(hole - pattern);
    *bytes = strcspn(name, ".");
    return name;
}

/* slots.c - the name of every place that a tensor can have. */
#include "format/slots.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct slot {
    const char *part;
    int weight, bias;
    bool per_layer;
} slot;

static const slot stack_slots[] = {
#define X(symbol, weight, bias, part, per_layer) {part, weight, bias, per_layer},
    EET_STACK_SLOT_MAP(X)
#undef X
};

static const slot head_slots[] = {
#define X(symbol, weight, bias, part) {part, weight, bias, false},
    EET_HEAD_SLOT_MAP(X)
#undef X
};

static const slot *find_in(const slot *slots, size_t count, int number) {
    for (size_t i = 0; i < count; i++) {
        if (slots[i].weight == number || (slots[i].bias != 0 && slots[i].bias == number)) {
            return &slots[i];
        }
    }
    return NULL;
}

static const slot *find_slot(uint16_t role) {
    const int group = role >> 8;
    const int number = role & 0xFF;

    if (group == EET_GROUP_HEAD) {
        return find_in(head_slots, sizeof head_slots / sizeof head_slots[0], number);
    }
    if (group == EET_GROUP_ENC || group == EET_GROUP_DEC) {
        return find_in(stack_slots, sizeof stack_slots / sizeof stack_slots[0], number);
    }
    return NULL;
}

bool eet_role_known(uint16_t role) {
    return find_slot(role) != NULL;
}

uint32_t eet_slot_name(uint16_t role, int32_t layer, const char *head_name, char *buffer,
                       uint32_t room) {
    const slot *place = find_slot(role);
    const char *stack = role >> 8 == EET_GROUP_ENC ? "enc" : "dec";
    const char *end = "";
    int length = 0;

    if (place == NULL || (role >> 8 == EET_GROUP_HEAD && head_name == NULL)) {
        return 0;
    }
    if (place->bias != 0) {
        end = place->bias == (role & 0xFF) ? ".b" : ".w";
    }
    if (role >> 8 == EET_GROUP_HEAD) {
        length = snprintf(buffer, room, "head.%s.%s%s", head_name, place->part, end);
    } else if (place->per_layer) {
        length = snprintf(buffer, room, "%s.%04d.%s%s", stack, (int)layer, place->part, end);
    } else {
        length = snprintf(buffer, room, "%s.%s%s", stack, place->part, end);
    }
    return length > 0 && (uint32_t)length < room ? (uint32_t)length : 0;
}

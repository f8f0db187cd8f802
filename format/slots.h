/* slots.h - the places a tensor can have in a model: group, slot, name.
 *
 * role = group << 8 | slot. Names are for people and tools; role and layer bind.
 * A name is "<stack>.<part>", "<stack>.LLLL.<part>" (four-digit layer) or
 * "head.<name>.<part>". */
#ifndef EET_FORMAT_SLOTS_H
#define EET_FORMAT_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum eet_group {
    EET_GROUP_ENC = 1,
    EET_GROUP_DEC = 2,
    EET_GROUP_HEAD = 3,
    EET_GROUP_QUANT = 4
} eet_group;

/* X(symbol, slot of the weight, slot of the bias or 0, part of the name, per layer?) */
#define EET_STACK_SLOT_MAP(X)                                 \
    X(EET_SLOT_EMB_TOK, 0x01, 0, "emb.tok", false)            \
    X(EET_SLOT_EMB_POS, 0x02, 0, "emb.pos", false)            \
    X(EET_SLOT_EMB_TYPE, 0x03, 0, "emb.type", false)          \
    X(EET_SLOT_EMB_NORM, 0x04, 0x05, "emb.norm", false)       \
    X(EET_SLOT_EMB_PROJ_IN, 0x06, 0x07, "emb.proj_in", false) \
    X(EET_SLOT_NORM, 0x0A, 0x0B, "norm", false)               \
    X(EET_SLOT_ATTN_QKV, 0x10, 0x11, "attn.qkv", true)        \
    X(EET_SLOT_ATTN_OUT, 0x12, 0x13, "attn.out", true)        \
    X(EET_SLOT_ATTN_NORM, 0x14, 0x15, "attn.norm", true)      \
    X(EET_SLOT_CROSS_Q, 0x20, 0x21, "cross.q", true)          \
    X(EET_SLOT_CROSS_KV, 0x22, 0x23, "cross.kv", true)        \
    X(EET_SLOT_CROSS_OUT, 0x24, 0x25, "cross.out", true)      \
    X(EET_SLOT_CROSS_NORM, 0x26, 0x27, "cross.norm", true)    \
    X(EET_SLOT_FFN_FC1, 0x30, 0x31, "ffn.fc1", true)          \
    X(EET_SLOT_FFN_FC2, 0x32, 0x33, "ffn.fc2", true)          \
    X(EET_SLOT_FFN_NORM, 0x34, 0x35, "ffn.norm", true)

#define EET_HEAD_SLOT_MAP(X)                    \
    X(EET_SLOT_HEAD_DENSE, 0x01, 0x02, "dense") \
    X(EET_SLOT_HEAD_NORM, 0x03, 0x04, "norm")   \
    X(EET_SLOT_HEAD_OUT, 0x05, 0x06, "out")

typedef enum eet_stack_slot {
#define X(symbol, weight, bias, part, per_layer) symbol = weight,
    EET_STACK_SLOT_MAP(X)
#undef X
} eet_stack_slot;

typedef enum eet_head_slot {
#define X(symbol, weight, bias, part) symbol = weight,
    EET_HEAD_SLOT_MAP(X)
#undef X
} eet_head_slot;

/* The bias that belongs to a weight's slot follows it; emb.tok, emb.pos and
 * emb.type have none. */
static inline uint16_t eet_role(eet_group group, int slot, bool bias) {
    return (uint16_t)((int)group << 8 | (slot + (bias ? 1 : 0)));
}

/* The canonical name of (role, layer), e.g. "dec.0007.attn.qkv.w"; for a head
 * `head_name` is its name. Embedding tables emb.tok, emb.pos and emb.type end
 * without ".w". Writes at most `room` bytes and returns the length, 0 for a role
 * that does not exist. */
uint32_t eet_slot_name(uint16_t role, int32_t layer, const char *head_name, char *buffer,
                       uint32_t room);

/* Is `role` one that this version knows? */
bool eet_role_known(uint16_t role);

#endif

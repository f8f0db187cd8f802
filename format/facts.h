/* facts.h - what a .eet file says about its model: everything the engine needs
 * to know besides the tensors. One table (facts.c) drives decoding from META,
 * encoding into META, the bounds of every value, and eet_model_fact.
 *
 * Facts are per stack, "enc." or "dec."; a decoder-only model has dec alone, an
 * encoder enc alone. dec is causal, enc attends in full. docs/format.md lists
 * them all. Embedding order: (token * emb_scale) proj_in + position + type,
 * then emb_norm. */
#ifndef EET_FORMAT_FACTS_H
#define EET_FORMAT_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "format/kv.h"
#include "format/types.h"

enum { EET_ENC = 0, EET_DEC = 1, EET_STACKS = 2, EET_MAX_HEADS = 16, EET_HEAD_NAME = 32 };

typedef struct eet_stack_facts {
    bool present;
    int32_t layers, heads, head_dim, hidden, ffn; /* heads * head_dim need not equal hidden */
    int32_t act;                                  /* eet_act */
    bool pre_norm;                                /* norm before attention and ffn; else after */
    bool final_norm, emb_norm;
    double norm_eps;
    double attn_scale;    /* on q k; usually head_dim^-0.5 */
    bool inv_layer_scale; /* and 1 / (layer + 1) */
    bool pos_table;       /* pos.kind: none | table */
    int32_t pos_rows;     /* 0 without a table */
    bool pos_skip_pad;    /* a pad token takes a zero position row and does not advance */
    int32_t emb_dim;      /* != hidden: proj_in is there */
    double emb_scale;
    int32_t types;        /* rows of emb.type, 0 without */
    int32_t type_default; /* type of a token whose type is not given; -1 none */
    int32_t vocab_size;   /* logical: ids < vocab_size */
    int32_t vocab_rows;   /* of emb.tok; >= vocab_size */
    int32_t tok_pad, tok_bos, tok_eos, tok_unk, tok_cls, tok_sep, tok_mask; /* -1 none */
    int32_t start;                                                          /* dec only; -1 none */
    bool cross;                                                             /* dec only */
    int32_t cross_dim; /* width of the source; 0 without cross */
} eet_stack_facts;

/* One head: take -> [dense -> act] -> [norm] -> [out]. Which of the three exist
 * is told by the tensors head.<name>.{dense,norm,out}. */
typedef struct eet_head_facts {
    char name[EET_HEAD_NAME];  /* [a-z][a-z0-9_]*, unique */
    int32_t stack;             /* EET_ENC or EET_DEC */
    int32_t take;              /* eet_take */
    int32_t act;               /* eet_act, after dense */
    bool normalize;            /* to unit length, last */
    bool skip_pad;             /* take last: the last token that is not tok_pad */
    const char *const *labels; /* label_count strings, or NULL; owned by the eet_facts */
    int32_t label_count;
} eet_head_facts;

typedef struct eet_facts {
    char family[32]; /* informative: the engine never reads it */
    eet_stack_facts stack[EET_STACKS];
    eet_head_facts head[EET_MAX_HEADS];
    int32_t heads;
    void *owned; /* memory of the labels */
} eet_facts;

/* What most stacks are: their embedding is not scaled, and no token has a part of its
 * own until a configuration gives it one. For initialisers. */
#define EET_STACK_FACTS_PLAIN                                                                    \
    .emb_scale = 1.0, .tok_pad = -1, .tok_bos = -1, .tok_eos = -1, .tok_unk = -1, .tok_cls = -1, \
    .tok_sep = -1, .tok_mask = -1, .start = -1

/* A stack with nothing but the defaults: scales 1, tokens -1, no tables. */
eet_stack_facts eet_stack_facts_default(void);

/* Decodes and bounds META. A REQUIRED key this version does not know is
 * E_UNSUPPORTED naming it; a missing, mistyped or out-of-range fact E_CORRUPT.
 * Release with eet_facts_release. */
eet_status eet_facts_decode(const eet_kv_view *meta, uint64_t base, eet_facts *out, eet_error *err);
void eet_facts_release(eet_facts *facts);

/* Writes the facts into a builder, every key REQUIRED. */
void eet_facts_encode(const eet_facts *facts, eet_kv_builder *builder);

/* The same rules as eet_facts_decode, for facts made in memory. */
eet_status eet_facts_check(const eet_facts *facts, eet_error *err);

/* What (role, layer) a model with these facts must and may have, with shapes.
 * `visit` is called once a tensor, in execution order; a non-OK return stops.
 * Weights are [out, in], biases and norms [n]; the shape's -1 means "any" (a
 * head's width). */
typedef struct eet_expected {
    uint16_t role;
    int32_t layer;    /* -1 embeddings and final norm; head index for heads */
    const char *head; /* name, for heads */
    int32_t rank;
    int64_t shape[2];
    bool required; /* weights of a block: yes; biases, head parts: no */
} eet_expected;
typedef eet_status (*eet_expected_visit)(void *context, const eet_expected *expected);
eet_status eet_facts_expect(const eet_facts *facts, eet_expected_visit visit, void *context);

#endif

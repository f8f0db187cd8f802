/* session.h - one caller's working memory, laid out by one function (layout.c) that
 * measures it first. Nothing allocates after eet_session_make. */
#ifndef EET_ENGINE_SESSION_H
#define EET_ENGINE_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/generate.h"
#include "engine/kv_cache.h"
#include "engine/model.h"

/* Options with every default filled in, and the sizes that follow from the model. */
typedef struct eet_limits {
    int32_t threads;
    int32_t sequences, tokens; /* tokens per sequence */
    int32_t batch_tokens;      /* in one pass */
    int32_t outputs;           /* positions that heads score at once */
    int32_t choices;           /* rows whose tokens are chosen at once */
    int32_t ranked;            /* tokens that a beam may ask for; 0: no room for beams */
    int32_t pages, stride;     /* of the cache: all of them, and those of one sequence */
    int32_t sources, source_tokens, source_stride; /* likewise; 0 without cross attention */
    int32_t source_rows;                           /* rows in a pass that may look at sources */
    int32_t cross_dim;                             /* width of a source */
    int32_t cache_dtype;
    int32_t hidden, inner, ffn, projected; /* the widest of the stacks; inner = heads * head_dim,
                                              projected = emb.dim where proj_in is */
    int32_t dense, width;                  /* the widest of the heads */
    int32_t stream_bytes, inner_bytes;     /* of the widest activations, see eet_stack */
    int32_t layers, heads, head_dim;       /* of the decoder, for the cache */
    bool post_norm, families; /* a stack is post-norm; the backend has two families of ops */
} eet_limits;

/* What a pass reads besides weights: written on the host, then uploaded in one piece, from `slot`
 * to the last row's pages. The host's and the backend's copy are laid out alike, and those of
 * passes of few tokens lie together at the beginning of the same memory: `tokens` is EET_FEW_TOKENS
 * at most for them, else batch_tokens. */
typedef struct eet_inputs {
    int64_t *slot;                    /* (tokens) */
    int32_t *ids, *positions, *types; /* (tokens) */
    int32_t *q_start;                 /* (tokens + 1) */
    int32_t *kv_length;               /* (tokens) */
    int32_t *row;                     /* (tokens) of the caller's batch, by pass row */
    int32_t *source_length;           /* (source_rows), as many as tokens at most */
    int32_t *source_table;            /* (source_rows, source_stride) */
    int32_t *page_table;              /* (sequences, stride), likewise */
} eet_inputs;

typedef struct eet_workspace {
    eet_inputs in, inputs[2]; /* see eet_session */
    int32_t *index;           /* (batch_tokens) positions to score */
    void *stream[2];          /* (batch_tokens, hidden); pre-norm uses the first alone */
    void *before;             /* (batch_tokens, hidden) with families: a part's input, normed */
    float *embedded;          /* (batch_tokens, emb.dim), while a pass embeds */
    void *qkv;                /* (batch_tokens, 3 inner), while it attends */
    void *context;            /* (batch_tokens, inner) */
    void *ffn;                /* (batch_tokens, ffn), while it runs a feed-forward part */
    float *normed;            /* (batch_tokens, hidden), while it gives outputs */
    float *rows;              /* (outputs, hidden) */
    float *dense;             /* (outputs, dense) */
    float *result;            /* (outputs, width) */
    void *converted;          /* batch_tokens values of hidden, or outputs of width, in 16 bits */
    eet_page_move *moves;     /* (sequences) */
    int32_t *token;           /* (outputs) chosen */
    int32_t *target;          /* (outputs) to score */
    float *log_prob;          /* (outputs) */
    int32_t *top_token;       /* (outputs, EET_MAX_TOP) */
    float *top_log_prob;      /* (outputs, EET_MAX_TOP) */
    eet_sampler *sampler;     /* (choices) */
    int32_t *history;         /* (choices, tokens) ids */
    int32_t *history_length;  /* (choices) */
    int32_t *bar;             /* (EET_MAX_BARRED) ids */
    eet_going *going;         /* (EET_FEW_TOKENS) with families: rows that go on by themselves */
    eet_going_rules *rules;   /* of them */
    int32_t *best_token;      /* (choices, ranked) what beams may go on with */
    float *best_score, *best_log_prob;
    void *choice;   /* eet_sample_scratch(choices, width), while tokens are chosen */
    float *scratch; /* what eet_project_scratch asks for */
    void *parts;    /* eet_attention_scratch of the most tokens of EET_FEW, with families */
} eet_workspace;

/* The hidden states that a pass leaves: `norm` is still to be applied to x. */
typedef struct eet_hidden {
    const void *x; /* (tokens, hidden) */
    int32_t dtype; /* 0 = f32 */
    eet_norm_weights norm;
} eet_hidden;

enum { EET_GRAPHS = 320 };

/* A recorded pass (graphs.c). */
typedef struct eet_graph {
    void *recorded; /* the backend's; NULL: not yet */
    bool failed;    /* there is no memory for it */
    bool paged, cross, few;
    const eet_stack *stack;
    int32_t tokens, rows, longest;
    eet_hidden hidden; /* what it leaves */
} eet_graph;

struct eet_session {
    eet_model *model;
    const eet_backend_api *api;
    eet_backend *backend;
    const eet_ops *ops;
    eet_limits limits;
    pid_t process;
    _Atomic int32_t cancelled;
    bool dead, check_finite, one_by_one; /* EET_CHECK_FINITE, EET_SYNC */
    eet_log_level log;
    eet_cache cache;
    eet_inputs in;        /* on the host, as the last pass has it */
    eet_inputs inputs[2]; /* the same of any pass, and of those of few tokens */
    eet_workspace work;   /* in the backend's memory */
    int32_t *index;       /* (batch_tokens) host side of work.index */
    int32_t *to;          /* (outputs) which pick a row of scores is for */
    int32_t *target;      /* (outputs) host side of work.target */
    eet_page_move *moves; /* (sequences) host side of work.moves */
    uint64_t *seen;       /* (sequences + sources) the call that named it last */
    uint64_t call;        /* number of the call, for `seen` */
    float *values;        /* (batch_tokens, hidden), with EET_CHECK_FINITE */
    float *given;         /* (batch_tokens, cross_dim) of a source that a caller gives */
    eet_generation generation;
    bool records; /* passes, as graphs */
    int32_t graphs;
    eet_graph graph[EET_GRAPHS];
    void *host_memory, *cache_memory, *work_memory;
    uint64_t host_bytes, cache_bytes, work_bytes; /* of these, once they are there */
};

/* layout.c: cuts a session's memory out of its three arenas; with arenas that have no
 * base it measures. */
typedef struct eet_arenas {
    eet_arena host, cache, work;
} eet_arenas;
void eet_session_layout(eet_session *session, eet_arenas *arenas);

/* limits.c: fills the defaults in. E_ARGUMENT, E_LIMIT. */
eet_status eet_limits_make(const eet_model *model, const eet_session_options *options,
                           eet_limits *out, eet_error *err);

/* session.c */
eet_status eet_session_need(const eet_model *model, const eet_session_options *options,
                            eet_memory_need *out, eet_error *err);
eet_status eet_session_make(eet_model *model, const eet_session_options *options, eet_session **out,
                            eet_error *err);
void eet_session_free(eet_session *session);
void eet_session_use(const eet_session *session, eet_memory_use *out);
/* Was the session told to stop? Forgets it. */
bool eet_session_stopped(eet_session *session);

#endif

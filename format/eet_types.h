/* eet_types.h - what every part of EET shares: status codes, the error object,
 * data types, and the description of an array.
 *
 * Errors  A call that can fail returns eet_status. On failure it leaves its
 *         outputs untouched and explains itself in the caller's eet_error,
 *         which may be NULL: one line, a hint follows ";".
 * ABI     Numbers are never reused. eet_error is frozen at 512 bytes. */
#ifndef EET_TYPES_H
#define EET_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EET_API __attribute__((visibility("default")))
#else
#define EET_API
#endif

/* X(symbol, number, exit code of a command that ends with it) */
#define EET_STATUS_MAP(X)                                                              \
    X(EET_OK, 0, 0)                                                                    \
    X(EET_E_ARGUMENT, 1, 2)     /* the caller's: a value, a length, a contradiction */ \
    X(EET_E_UNSUPPORTED, 2, 3)  /* well-formed, but not something we do */             \
    X(EET_E_CORRUPT, 3, 4)      /* malformed: a file breaks its format's rules */      \
    X(EET_E_SUSPICIOUS, 4, 4)   /* a file carries something made to be executed */     \
    X(EET_E_IO, 5, 5)           /* the operating system's word on a file */            \
    X(EET_E_MEMORY, 6, 6)       /* an allocation failed */                             \
    X(EET_E_LIMIT, 7, 6)        /* a bound of this program or of this session */       \
    X(EET_E_EXISTS, 8, 2)       /* the target is there already */                      \
    X(EET_E_AMBIGUOUS, 9, 2)    /* a flag has to decide */                             \
    X(EET_E_DEVICE, 10, 7)      /* CUDA or its driver */                               \
    X(EET_E_CANCELLED, 11, 130) /* asked to stop */                                    \
    X(EET_E_STATE, 12, 70)      /* not now: a dead session, the child of a fork */     \
    X(EET_E_INTERNAL, 13, 70)   /* a bug of ours */

typedef enum eet_status {
#define X(symbol, number, exit_code) symbol = number,
    EET_STATUS_MAP(X)
#undef X
} eet_status;

#define EET_NOWHERE UINT64_MAX /* eet_error.offset when no byte of a file is at fault */

/* What went wrong, in the caller's own memory. */
typedef struct eet_error {
    int32_t status;   /* eet_status */
    int32_t reserved; /* zero */
    uint64_t offset;  /* byte in the file at fault, or EET_NOWHERE */
    char text[496];   /* one line of UTF-8 without control characters, NUL-terminated */
} eet_error;

/* X(symbol, number on disk, bits per element, name) */
#define EET_DTYPE_MAP(X)             \
    X(EET_F32, 1, 32, "f32")         \
    X(EET_F16, 2, 16, "f16")         \
    X(EET_BF16, 3, 16, "bf16")       \
    X(EET_F64, 4, 64, "f64")         \
    X(EET_I8, 5, 8, "i8")            \
    X(EET_U8, 6, 8, "u8")            \
    X(EET_I32, 7, 32, "i32")         \
    X(EET_I64, 8, 64, "i64")         \
    X(EET_U16, 9, 16, "u16")         \
    X(EET_F8_E4M3, 16, 8, "f8_e4m3") \
    X(EET_F8_E5M2, 17, 8, "f8_e5m2") \
    X(EET_F8_E8M0, 18, 8, "f8_e8m0") \
    X(EET_I4, 32, 4, "i4")           \
    X(EET_U4, 33, 4, "u4")           \
    X(EET_U2, 34, 2, "u2")

typedef enum eet_dtype {
    EET_DTYPE_NONE = 0, /* in options: the default */
#define X(symbol, number, bits, name) symbol = number,
    EET_DTYPE_MAP(X)
#undef X
} eet_dtype;

/* X(symbol, number, name in a .eet file): the activations between two matrices.
 * gelu_erf is x Phi(x), gelu_tanh its tanh approximation, quick_gelu
 * x sigmoid(1.702 x), relu2 the square of relu. */
#define EET_ACT_MAP(X)                     \
    X(EET_ACT_LINEAR, 0, "linear")         \
    X(EET_ACT_RELU, 1, "relu")             \
    X(EET_ACT_GELU_ERF, 2, "gelu_erf")     \
    X(EET_ACT_GELU_TANH, 3, "gelu_tanh")   \
    X(EET_ACT_SILU, 4, "silu")             \
    X(EET_ACT_QUICK_GELU, 5, "quick_gelu") \
    X(EET_ACT_TANH, 6, "tanh")             \
    X(EET_ACT_RELU2, 7, "relu2")

typedef enum eet_act {
#define X(symbol, number, name) symbol = number,
    EET_ACT_MAP(X)
#undef X
} eet_act;

/* X(symbol, number, name in a .eet file): which positions of a row a head reads. */
#define EET_TAKE_MAP(X)                                        \
    X(EET_TAKE_FIRST, 1, "first") /* the row's first token */  \
    X(EET_TAKE_LAST, 2, "last")   /* its last */               \
    X(EET_TAKE_EVERY, 3, "every") /* all */                    \
    X(EET_TAKE_GIVEN, 4, "given") /* those the caller lists */ \
    X(EET_TAKE_MEAN, 5, "mean")   /* the average of all */

typedef enum eet_take {
    EET_TAKE_DEFAULT = 0, /* in eet_output: the head's own */
#define X(symbol, number, name) symbol = number,
    EET_TAKE_MAP(X)
#undef X
} eet_take;

typedef enum eet_memory_kind { EET_HOST = 0, EET_CUDA = 1 } eet_memory_kind;

/* How a model file's weights come into memory: mapped, or read into the heap. */
typedef enum eet_load { EET_LOAD_MAP = 0, EET_LOAD_COPY = 1 } eet_load;

enum { EET_MAX_RANK = 6 };

/* A borrowed, dense or strided array of the caller's. */
typedef struct eet_array {
    uint32_t size;                /* in: sizeof(eet_array) */
    int32_t dtype;                /* eet_dtype */
    int32_t memory;               /* eet_memory_kind */
    int32_t rank;                 /* 0..EET_MAX_RANK */
    int64_t shape[EET_MAX_RANK];  /* elements */
    int64_t stride[EET_MAX_RANK]; /* elements; all zero = row-major and contiguous */
    void *data;
} eet_array;

#ifdef __cplusplus
}
#endif
#endif

/* Norm, pooling and rectifier at places, for one instruction set; see _norms.c.

   Channels are taken as many at a time as a vector has lanes; the last ones may be fewer. */

#define Vector TARGET(Vector)
#define Ints TARGET(Ints)
#define Shorts TARGET(Shorts)
#define Bytes TARGET(Bytes)
#define INLINE ATTRIBUTE static inline __attribute__((always_inline))
#define IN_VECTORS(call)                                                \
    do {                                                                \
        long i = 0;                                                     \
        for (; i + LANES <= work->channels; i += LANES) {               \
            const long width = LANES;                                   \
            call;                                                       \
        }                                                               \
        if (i < work->channels) {                                       \
            const long width = work->channels - i;                      \
            call;                                                       \
        }                                                               \
    } while (0)

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef int16_t Shorts __attribute__((vector_size(2 * LANES)));
typedef uint8_t Bytes __attribute__((vector_size(LANES)));

/* What lies in memory, and what is beyond it zero. */
INLINE Vector TARGET(load)(const float *from, long width) {
    Vector value = {0};
    memcpy(&value, from, width == LANES ? sizeof(value) : sizeof(*from) * width);
    return value;
}

INLINE void TARGET(store)(float *to, Vector value, long width) {
    memcpy(to, &value, width == LANES ? sizeof(value) : sizeof(*to) * width);
}

INLINE Ints TARGET(load_bytes)(const uint8_t *from, long width) {
    Bytes value = {0};
    memcpy(&value, from, width == LANES ? sizeof(value) : (size_t)width);
    return __builtin_convertvector(value, Ints);
}

INLINE Ints TARGET(load_shorts)(const int16_t *from, long width) {
    Shorts value = {0};
    memcpy(&value, from, width == LANES ? sizeof(value) : sizeof(*from) * width);
    return __builtin_convertvector(value, Ints);
}

INLINE Ints TARGET(choose_ints)(Ints mask, Ints yes, Ints no) { return (mask & yes) | (~mask & no); }

INLINE Vector TARGET(choose)(Ints mask, Vector yes, Vector no) {
    return (Vector)TARGET(choose_ints)(mask, (Ints)yes, (Ints)no);
}

/* The mean over some places, and the sum of squared differences from it. */
INLINE void TARGET(moments)(long width, long c, const float *x, long places, float *to) {
    Vector mean = {0}, squares = {0};
    for (long p = 0; p < places; p++) mean += TARGET(load)(x + p * c, width);
    mean /= (float)places;
    for (long p = 0; p < places; p++) {
        Vector apart = TARGET(load)(x + p * c, width) - mean;
        squares += apart * apart;
    }
    TARGET(store)(to, mean, width);
    TARGET(store)(to + c, squares, width);
}

ATTRIBUTE static void TARGET(piece_of_moments)(const Work *work, long piece) {
    long c = work->channels, first = piece * PIECE, places = smaller(PIECE, work->places - first);
    const float *x = work->x + first * c;
    float *to = work->pieces + piece * 2 * c;
    IN_VECTORS(TARGET(moments)(width, c, x + i, places, to + i));
}

/* The largest value of a window, of which NaN is the largest, and what passes of it. */
INLINE void TARGET(pass)(long width, const Work *work, const Window *window, long i, long to) {
    Vector gain = TARGET(load)(work->rows + i, width);
    Vector shift = TARGET(load)(work->rows + work->channels + i, width);
    Vector most = (Vector){0} - INFINITY, raw = {0};
    Ints where = (Ints){0} + NOWHERE;
    for (int k = 0; k < window->count; k++) {
        Vector x = TARGET(load)(window->x[k] + i, width), value = gain * x + shift;
        Ints higher = ~(value <= most);
        if (k) higher &= (most == most); /* the first NaN stays */
        most = TARGET(choose)(higher, value, most);
        raw = TARGET(choose)(higher, x, raw);
        where = TARGET(choose_ints)(higher, (Ints){0} + window->place[k], where);
    }
    Ints passes = ~(most <= 0) & (where != NOWHERE);
    if (work->draws) passes &= TARGET(load_shorts)(work->draws + to + i, width) < work->limit;
    Bytes origin = __builtin_convertvector(
        TARGET(choose_ints)(passes, where, (Ints){0} + NOWHERE), Bytes);
    TARGET(store)(work->y + to + i, TARGET(choose)(passes, most * work->factor, (Vector){0}), width);
    memcpy(work->origin + to + i, &origin, width == LANES ? sizeof(origin) : (size_t)width);
    if (work->pooled) TARGET(store)(work->picked + to + i, raw, width);
}

ATTRIBUTE static void TARGET(output_rows)(const Work *work, long task) {
    long c = work->channels, stop = smaller((task + 1) * LINES, rows_of(work->out, work->n));
    for (long row = task * LINES; row < stop; row++)
        for (long w = 0; w < work->out[2]; w++) {
            Window window;
            read_window(work, row, w, &window);
            IN_VECTORS(TARGET(pass)(width, work, &window, i, (row * work->out[2] + w) * c));
        }
}

/* The sums over outputs that the norm needs. */
INLINE void TARGET(sums)(long width, const Work *work, long i, long first, long stop, float *to) {
    long c = work->channels;
    Vector mean = TARGET(load)(work->mean + i, width), sum = {0}, product = {0};
    for (long at = first * c + i; at < stop * c; at += c) {
        Ints passed = TARGET(load_bytes)(work->origin + at, width) != NOWHERE;
        Vector one = TARGET(choose)(passed, TARGET(load)(work->above + at, width), (Vector){0});
        sum += one;
        product += one * (TARGET(load)(work->picked + at, width) - mean);
    }
    TARGET(store)(to + i, sum, width);
    TARGET(store)(to + c + i, product, width);
}

ATTRIBUTE static void TARGET(piece_of_sums)(const Work *work, long piece) {
    long first = piece * PIECE, stop = smaller(first + PIECE, work->outs);
    float *to = work->pieces + piece * 2 * work->channels;
    IN_VECTORS(TARGET(sums)(width, work, i, first, stop, to));
}

/* The gradient at a place: what it gave to windows, through the norm. */
INLINE void TARGET(collect)(long width, const Work *work, const Reached *reached, long i, long to) {
    long c = work->channels;
    const float *gain = work->rows + i, *shift = gain + c, *slope = shift + c;
    Vector sum = {0}, apart = TARGET(load)(work->x + to + i, width) - TARGET(load)(work->mean + i, width);
    for (int k = 0; k < reached->count; k++) {
        long at = reached->at[k] * c + i;
        Ints mine = TARGET(load_bytes)(work->origin + at, width) == reached->place[k];
        sum += TARGET(choose)(mine, TARGET(load)(work->above + at, width), (Vector){0});
    }
    sum = TARGET(load)(gain, width) * sum - TARGET(load)(shift, width);
    TARGET(store)(work->x_gradient + to + i, sum - TARGET(load)(slope, width) * apart, width);
}

ATTRIBUTE static void TARGET(input_rows)(const Work *work, long task) {
    long c = work->channels, stop = smaller((task + 1) * LINES, rows_of(work->in, work->n));
    for (long row = task * LINES; row < stop; row++)
        for (long w = 0; w < work->in[2]; w++) {
            Reached reached;
            read_reached(work, row, w, &reached);
            IN_VECTORS(TARGET(collect)(width, work, &reached, i, (row * work->in[2] + w) * c));
        }
}

#undef INLINE
#undef IN_VECTORS
#undef Vector
#undef Ints
#undef Shorts
#undef Bytes

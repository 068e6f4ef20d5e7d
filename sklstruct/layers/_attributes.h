/* Convolution over space and attributes, for one instruction set; see _attributes.c.

   The lanes of a vector run over places, and two vectors make a tile.  Every sum has one order,
   whatever its neighbours are, so that a result depends neither on the batch nor on the number of
   threads. */

#define Vector TARGET(Vector)
#define Loose TARGET(Loose)
#define Whole TARGET(Whole)
#define Tile TARGET(Tile)
#define INLINE ATTRIBUTE static inline __attribute__((always_inline))
#define WIDTH (2 * LANES)
#define MOST_FILTERS (LANES == 16 ? 8 : 4) /* side by side: as many as leave registers free */

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Whole __attribute__((vector_size(4 * LANES)));

INLINE Vector TARGET(load)(const float *from) { return *(const Loose *)from; }
INLINE void TARGET(store)(float *to, Vector value) { *(Loose *)to = value; }

INLINE float TARGET(total)(Vector value) {
    Quad sum = {0};
    for (int lane = 0; lane < LANES; lane += 4)
        sum += *(const Quad *)((const float *)&value + lane);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* The larger and the smaller of two; the second where one is no number. */
INLINE Vector TARGET(larger)(Vector a, Vector b) {
#if LANES == 16
    return (Vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (Vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (Vector)(((Whole)a & (a > b)) | ((Whole)b & ~(a > b)));
#endif
}

INLINE Vector TARGET(smaller)(Vector a, Vector b) {
#if LANES == 16
    return (Vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif LANES == 8
    return (Vector)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return (Vector)(((Whole)a & (a < b)) | ((Whole)b & ~(a < b)));
#endif
}

/* exp(x) - 1 of what is below zero, and zero of what is above. */
INLINE Vector TARGET(decrease)(Vector x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23 leaves whole numbers in the last bits */
    x = TARGET(larger)((Vector){0} - 87.0f, TARGET(smaller)((Vector){0}, x));
    Vector n = x * 1.44269504f + shift;
    Whole power = (Whole)n;
    n -= shift;
    Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vector p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    Vector scale = (Vector)((power << 23) + 0x3f800000);
    return scale * (p * r * r + r) + (scale - 1.0f);
}

/* --- places --------------------------------------------------------------------------------- */

/* Where places that follow each other lie, in planes and in maps of the output. */
typedef struct {
    long n, in[WIDTH], out[WIDTH];
    int together[2], all_together;
} Tile;

ATTRIBUTE static Tile TARGET(find_tile)(const Plan *plan, long first, long stop) {
    Tile tile = {.n = stop - first};
    if (tile.n > WIDTH) tile.n = WIDTH;
    long in = plan->oldest * plan->maps * plan->plane,
         out = plan->outs * plan->filters * plan->places;
    for (long lane = 0; lane < tile.n; lane++) {
        long sample = (first + lane) / plan->places, place = (first + lane) % plan->places;
        tile.in[lane] = sample * in + plan->where[place];
        tile.out[lane] = sample * out + place;
    }
    for (int v = 0; v < 2; v++) {
        tile.together[v] = tile.n >= (v + 1) * LANES;
        for (long lane = v * LANES; tile.together[v] && lane + 1 < (v + 1) * LANES; lane++)
            tile.together[v] = tile.in[lane + 1] - tile.in[lane] == 1;
    }
    tile.all_together = tile.n == WIDTH && tile.out[WIDTH - 1] - tile.out[0] == WIDTH - 1;
    return tile;
}

/* What filters see at the places of a tile in a plane; zeros where there are none. */
INLINE void TARGET(look)(const Plan *plan, long taps, const Tile *tile, const float *plane,
                         Vector seen[][2]) {
    for (long t = 0; t < taps; t++)
        for (int v = 0; v < 2; v++) {
            const float *from = plane + plan->offset[t];
            const long *in = tile->in + v * LANES;
            if (tile->together[v])
                seen[t][v] = TARGET(load)(from + in[0]);
            else
                for (long lane = 0; lane < LANES; lane++)
                    seen[t][v][lane] = v * LANES + lane < tile->n ? from[in[lane]] : 0;
        }
}

/* Copy maps of the output to where the places of a tile lie side by side, and back. */
ATTRIBUTE static void TARGET(gather)(const Plan *plan, const Tile *tile, const float *from,
                                     float *to) {
    for (long map = 0; map < plan->outs * plan->filters; map++, from += plan->places, to += WIDTH)
        if (tile->all_together) {
            TARGET(store)(to, TARGET(load)(from + tile->out[0]));
            TARGET(store)(to + LANES, TARGET(load)(from + tile->out[0] + LANES));
        } else
            for (long lane = 0; lane < WIDTH; lane++)
                to[lane] = lane < tile->n ? from[tile->out[lane]] : 0;
}

ATTRIBUTE static void TARGET(scatter)(const Plan *plan, const Tile *tile, const float *from,
                                      float *to) {
    for (long map = 0; map < plan->outs * plan->filters; map++, to += plan->places, from += WIDTH)
        if (tile->all_together) {
            TARGET(store)(to + tile->out[0], TARGET(load)(from));
            TARGET(store)(to + tile->out[0] + LANES, TARGET(load)(from + LANES));
        } else
            for (long lane = 0; lane < tile->n; lane++) to[tile->out[lane]] = from[lane];
}

/* --- along attributes ----------------------------------------------------------------------- */

/* Some channels at one position: y[k] = sum over links and channels of weights times x. */
INLINE void TARGET(some_products)(int m, const Link *link, long links, long channels,
                                  const float *weights, const float *x, float *y) {
    Vector sum[MOST_FILTERS][2];
    for (int k = 0; k < m; k++) sum[k][0] = sum[k][1] = (Vector){0};
    for (; links > 0; links--, link++) {
        const float *from = x + link->from * channels * WIDTH;
        const float *weight = weights + link->tap * channels * m;
        for (long q = 0; q < channels; q++, from += WIDTH, weight += m) {
            Vector one = *(const Vector *)from, two = *(const Vector *)(from + LANES);
#pragma GCC unroll 8
            for (int k = 0; k < m; k++) {
                sum[k][0] += weight[k] * one;
                sum[k][1] += weight[k] * two;
            }
        }
    }
    for (int k = 0; k < m; k++) {
        *(Vector *)(y + k * WIDTH) = sum[k][0];
        *(Vector *)(y + k * WIDTH + LANES) = sum[k][1];
    }
}

/* y[to, k] = sum over the links of a position, and channels, of weights times x[from, channel].
   The weights of a few outputs follow each other: [outputs / few][tap][channel][few]. */
ATTRIBUTE static void TARGET(products)(const Links *links, long taps, long channels, long outputs,
                                       const float *weights, const float *x, float *y) {
    long few = share(outputs, MOST_FILTERS);
    for (long to = 0; to < links->groups; to++) {
        const Link *link = links->link + links->start[to];
        long n = links->start[to + 1] - links->start[to];
        for (long k = 0; k < outputs; k += few) {
            const float *some = weights + k * taps * channels;
            switch (outputs - k < few ? outputs - k : few) {
#define CASE(m)                                                                                    \
    case m:                                                                                        \
        TARGET(some_products)(m, link, n, channels, some, x, y + (to * outputs + k) * WIDTH);      \
        break;
                CASE(1) CASE(2) CASE(3) CASE(4)
#if LANES == 16
                CASE(5) CASE(6) CASE(7) CASE(8)
#endif
#undef CASE
            }
        }
    }
}

/* Add to the gradient of the weights of one tap, of m channels and p filters. */
INLINE void TARGET(some_sums)(int m, int p, const Link *link, long links, int tiles, const float *x,
                              long x_step, long x_size, const float *y, long y_step, long y_size,
                              float *to, long step) {
    Vector sum[4][4];
    for (int i = 0; i < m; i++)
        for (int j = 0; j < p; j++) sum[i][j] = (Vector){0};
    for (int tile = 0; tile < tiles; tile++, x += x_size, y += y_size)
        for (long e = 0; e < links; e++) {
            const float *one = x + link[e].from * x_step, *two = y + link[e].to * y_step;
            for (int v = 0; v < 2; v++, one += LANES, two += LANES)
#pragma GCC unroll 4
                for (int i = 0; i < m; i++)
#pragma GCC unroll 4
                    for (int j = 0; j < p; j++)
                        sum[i][j] +=
                            *(const Vector *)(one + i * WIDTH) * *(const Vector *)(two + j * WIDTH);
        }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < p; j++) to[i * step + j] += TARGET(total)(sum[i][j]);
}

/* Add to the gradient of the weights, [tap][channel][output], what some tiles give. */
ATTRIBUTE static void TARGET(sums)(const Plan *plan, int tiles, const float *z, const float *y,
                                   float *gradient) {
    const Links *links = &plan->by_tap;
    long q_few = share(plan->factors, 4), k_few = share(plan->filters, 4);
    long z_step = plan->factors * WIDTH, y_step = plan->filters * WIDTH;
    for (long q = 0; q < plan->factors; q += q_few)
        for (long k = 0; k < plan->filters; k += k_few) {
            long m = plan->factors - q < q_few ? plan->factors - q : q_few;
            long p = plan->filters - k < k_few ? plan->filters - k : k_few;
            for (long tap = 0; tap < links->groups; tap++) {
                const Link *link = links->link + links->start[tap];
                long n = links->start[tap + 1] - links->start[tap];
                float *to = gradient + (tap * plan->factors + q) * plan->filters + k;
                switch (4 * m + p) {
#define CASE(m, p)                                                                                 \
    case 4 * m + p:                                                                                \
        TARGET(some_sums)(m, p, link, n, tiles, z + q * WIDTH, z_step, plan->maps * z_step,        \
                          y + k * WIDTH, y_step, plan->outs * y_step, to, plan->filters);          \
        break;
#define CASES(m) CASE(m, 1) CASE(m, 2) CASE(m, 3) CASE(m, 4)
                    CASES(1) CASES(2) CASES(3) CASES(4)
#undef CASES
#undef CASE
                }
            }
        }
}

/* --- over space ----------------------------------------------------------------------------- */

/* What a filter gives at the places of a tile, and, if rectified, its decrease below zero. */
INLINE void TARGET(filter)(const Plan *plan, long taps, long q, const Vector seen[][2],
                           Vector *value, Vector *less) {
    const float *filter = plan->spatial + q * taps;
    value[0] = value[1] = (Vector){0} + plan->shift[q];
    for (long t = 0; t < taps; t++)
        for (int v = 0; v < 2; v++) value[v] += filter[t] * seen[t][v];
    for (int v = 0; plan->rectify && v < 2; v++) {
        less[v] = TARGET(decrease)(value[v]);
        value[v] = TARGET(larger)(value[v], (Vector){0}) + less[v];
    }
}

/* Store a share of what is filtered, or add it to what is there. */
INLINE void TARGET(collect)(float *to, int add, float share, const Vector *value) {
    for (int v = 0; v < 2; v++) {
        Vector *at = (Vector *)(to + v * LANES);
        *at = add ? *at + share * value[v] : share * value[v];
    }
}

/* z of all maps at the places of a tile. */
INLINE void TARGET(spread_taps)(const Plan *plan, long taps, const Tile *tile, float *z) {
    Vector seen[MOST_TAPS][2], value[2], less[2];
    float share = 1.0f / plan->oldest;
    for (long map = 0; map < plan->maps; map++, z += plan->factors * WIDTH)
        for (long o = 0; o < plan->oldest; o++) {
            TARGET(look)(plan, taps, tile, plan->x + (o * plan->maps + map) * plan->plane, seen);
            for (long q = 0; q < plan->factors; q++) {
                TARGET(filter)(plan, taps, q, seen, value, less);
                TARGET(collect)(z + q * WIDTH, o > 0, share, value);
            }
        }
}

/* Add to a plane what is filtered at the places of a tile, the other way round. */
INLINE void TARGET(unfilter)(const Plan *plan, long taps, const Tile *tile, const Vector slope[][2],
                             const float *shift, float *plane) {
    for (long t = 0; t < taps; t++) {
        Vector value[2] = {{0}, {0}};
        if (shift) value[0] = value[1] = (Vector){0} + shift[t];
        for (long q = 0; q < plan->factors; q++)
            for (int v = 0; v < 2; v++) value[v] += plan->spatial[q * taps + t] * slope[q][v];
        float *to = plane + plan->offset[t];
        for (int v = 0; v < 2; v++) {
            const long *in = tile->in + v * LANES;
            if (tile->together[v])
                TARGET(store)(to + in[0], TARGET(load)(to + in[0]) + value[v]);
            else
                for (long lane = 0; lane < LANES && v * LANES + lane < tile->n; lane++)
                    to[in[lane]] += value[v][lane];
        }
    }
}

/* From the gradient of z to those of x, and of spatial filters and shifts; z comes along. */
INLINE void TARGET(unspread_taps)(const Plan *plan, long taps, const Tile *tile, const float *above,
                                  float *z, Vector *sums) {
    Vector seen[MOST_TAPS][2], slope[MOST_FACTORS][2], value[2], less[2];
    float share = 1.0f / plan->oldest;
    for (long map = 0; map < plan->maps; map++) {
        for (long o = 0; o < plan->oldest; o++) {
            long at = (o * plan->maps + map) * plan->plane;
            TARGET(look)(plan, taps, tile, plan->x + at, seen);
            for (long q = 0; q < plan->factors; q++) {
                TARGET(filter)(plan, taps, q, seen, value, less);
                TARGET(collect)(z + q * WIDTH, o > 0, share, value);
                Vector *sum = sums + q * (taps + 1);
                for (int v = 0; v < 2; v++) {
                    Vector here = share * *(const Vector *)(above + q * WIDTH + v * LANES);
                    slope[q][v] = plan->rectify ? here + here * less[v] : here;
                }
                for (long t = 0; t < taps; t++)
                    sum[t] += slope[q][0] * seen[t][0] + slope[q][1] * seen[t][1];
                sum[taps] += slope[q][0] + slope[q][1];
            }
            if (plan->x_gradient)
                TARGET(unfilter)(plan, taps, tile, slope, NULL, plan->x_gradient + at);
        }
        above += plan->factors * WIDTH;
        z += plan->factors * WIDTH;
    }
}

ATTRIBUTE static void TARGET(spread)(const Plan *plan, const Tile *tile, float *z) {
    if (plan->taps == 9)
        TARGET(spread_taps)(plan, 9, tile, z);
    else
        TARGET(spread_taps)(plan, plan->taps, tile, z);
}

ATTRIBUTE static void TARGET(unspread)(const Plan *plan, const Tile *tile, const float *above,
                                       float *z, float *sums) {
    if (plan->taps == 9)
        TARGET(unspread_taps)(plan, 9, tile, above, z, (Vector *)sums);
    else
        TARGET(unspread_taps)(plan, plan->taps, tile, above, z, (Vector *)sums);
}

/* --- what a task does ----------------------------------------------------------------------- */

/* The output at the places of one tile. */
ATTRIBUTE static void TARGET(convolve)(const Plan *plan, float *memory, long number) {
    Tile tile = TARGET(find_tile)(plan, number * WIDTH, plan->n * plan->places);
    float *z = memory, *y = z + plan->maps * plan->factors * WIDTH;
    TARGET(spread)(plan, &tile, z);
    TARGET(products)(&plan->by_output, plan->by_tap.groups, plan->factors, plan->filters,
                     plan->weights, z, y);
    TARGET(scatter)(plan, &tile, y, plan->y);
}

/* The gradients of some samples.  The sums are those of spatial filters and shifts, lane by lane,
   and then those of the weights along attributes. */
ATTRIBUTE static void TARGET(differentiate)(const Plan *plan, float *memory, long start, long stop,
                                            float *sums) {
    long z_size = plan->maps * plan->factors * WIDTH, y_size = plan->outs * plan->filters * WIDTH;
    float *above = memory, *z = above + z_size, *y = z + MOST_TILES * z_size;
    float *gradient = sums + plan->factors * (plan->taps + 1) * LANES;
    int tiles = 0;
    for (long first = start * plan->places; first < stop * plan->places; first += WIDTH) {
        Tile tile = TARGET(find_tile)(plan, first, stop * plan->places);
        TARGET(gather)(plan, &tile, plan->y, y + tiles * y_size);
        TARGET(products)(&plan->by_input, plan->by_tap.groups, plan->filters, plan->factors,
                         plan->turned, y + tiles * y_size, above);
        TARGET(unspread)(plan, &tile, above, z + tiles * z_size, sums);
        if (++tiles < MOST_TILES && first + WIDTH < stop * plan->places) continue;
        TARGET(sums)(plan, tiles, z, y, gradient);
        tiles = 0;
    }
}

/* Add the sums, and the sums of products, of what filters see in all maps of some samples. */
INLINE void TARGET(moments_taps)(const Plan *plan, long taps, Vector *sum, long start, long stop,
                                 double *sums) {
    Vector seen[MOST_TAPS][2];
    long n = taps + taps * (taps + 1) / 2;
    for (long first = start * plan->places; first < stop * plan->places; first += WIDTH) {
        Tile tile = TARGET(find_tile)(plan, first, stop * plan->places);
        for (long i = 0; i < n; i++) sum[i] = (Vector){0};
        for (long map = 0; map < plan->oldest * plan->maps; map++) {
            TARGET(look)(plan, taps, &tile, plan->x + map * plan->plane, seen);
            Vector *to = sum;
            for (long t = 0; t < taps; t++) {
                *to++ += seen[t][0] + seen[t][1];
                for (long u = 0; u <= t; u++)
                    *to++ += seen[t][0] * seen[u][0] + seen[t][1] * seen[u][1];
            }
        }
        for (long i = 0; i < n; i++) sums[i] += TARGET(total)(sum[i]);
    }
}

ATTRIBUTE static void TARGET(moments)(const Plan *plan, float *memory, long start, long stop,
                                      double *sums) {
    if (plan->taps == 9)
        TARGET(moments_taps)(plan, 9, (Vector *)memory, start, stop, sums);
    else
        TARGET(moments_taps)(plan, plan->taps, (Vector *)memory, start, stop, sums);
}

/* Add to a gradient of x what filters, one for each tap, see in all maps of some samples. */
INLINE void TARGET(refilter_taps)(const Plan *plan, long taps, long start, long stop) {
    Vector seen[MOST_TAPS][2];
    for (long first = start * plan->places; first < stop * plan->places; first += WIDTH) {
        Tile tile = TARGET(find_tile)(plan, first, stop * plan->places);
        for (long map = 0; map < plan->oldest * plan->maps; map++) {
            TARGET(look)(plan, taps, &tile, plan->x + map * plan->plane, seen);
            TARGET(unfilter)(plan, taps, &tile, seen, plan->shift,
                             plan->x_gradient + map * plan->plane);
        }
    }
}

ATTRIBUTE static void TARGET(refilter)(const Plan *plan, long start, long stop) {
    if (plan->taps == 9)
        TARGET(refilter_taps)(plan, 9, start, stop);
    else
        TARGET(refilter_taps)(plan, plan->taps, start, stop);
}

#undef Vector
#undef Loose
#undef Whole
#undef Tile
#undef INLINE
#undef WIDTH
#undef MOST_FILTERS

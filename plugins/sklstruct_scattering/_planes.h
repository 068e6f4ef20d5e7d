/* The transform of one large signal at a time, with neighbouring columns, or rows, in the lanes.

   Included after _lanes.h, once for each instruction set.  A plane lies row by row, LANES columns
   to a vector, and the lanes left free at the end of a row are of no account.  A Fourier
   transform goes along rows, turns the plane, and goes along its columns, so that a spectrum has
   columns for rows; so have the filters. */

#define COLUMNS (LANES == 16 ? 4 : 2) /* vectors that registers can sum up together */
#define Vector TARGET(Vector)
#define Complex TARGET(Complex)
#define INLINE ATTRIBUTE static inline __attribute__((always_inline))

#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif
#if defined(__clang__)
#define INTERLEAVED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t TARGET(Order) __attribute__((vector_size(4 * LANES)));
#define INTERLEAVED(a, b, ...) __builtin_shuffle(a, b, (TARGET(Order)){__VA_ARGS__})
#endif

typedef float TARGET(Loose) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE long TARGET(vectors)(long n) { return (n + LANES - 1) / LANES; }

INLINE Vector TARGET(load)(const float *from) { return *(const TARGET(Loose) *)from; }

/* Transpose a tile of LANES x LANES: each round deals the two halves out in turn. */
INLINE void TARGET(turn)(Vector *tile) {
#pragma GCC unroll 4
    for (int round = 1; round < LANES; round *= 2) {
        Vector dealt[LANES];
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            dealt[2 * i] = INTERLEAVED(tile[i], tile[i + LANES / 2], LOW);
            dealt[2 * i + 1] = INTERLEAVED(tile[i], tile[i + LANES / 2], HIGH);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) tile[i] = dealt[i];
    }
}

/* Turn a plane: its columns become rows. */
ATTRIBUTE static void TARGET(turn_plane)(long rows, long columns, const Complex *from,
                                         Complex *to) {
    long across = TARGET(vectors)(columns), down = TARGET(vectors)(rows);
    for (long i = 0; i < down; i++)
        for (long k = 0; k < across; k++) {
            Vector re[LANES], im[LANES];
#pragma GCC unroll 16
            for (long lane = 0; lane < LANES; lane++) { /* rows that are too many repeat the last */
                long row = i * LANES + lane < rows ? i * LANES + lane : rows - 1;
                re[lane] = from[row * across + k].re;
                im[lane] = from[row * across + k].im;
            }
            TARGET(turn)(re);
            TARGET(turn)(im);
            for (long lane = 0; lane < LANES && k * LANES + lane < columns; lane++)
                to[(k * LANES + lane) * down + i] = (Complex){re[lane], im[lane]};
        }
}

/* Transform along the first axis of a plane. */
ATTRIBUTE static void TARGET(transform_down)(const Line *line, long across, Complex *x,
                                             Complex *scratch) {
    for (long k = 0; k < across; k++) TARGET(transform_line)(line, x + k, across, scratch);
}

/* Fill a padded plane with a signal; `row_source` and `column_source` say where values lie. */
ATTRIBUTE static void TARGET(gather_plane)(const Plan *plan, const float *signal, Complex *x) {
    long rows = plan->grid[0].rows.length, columns = plan->grid[0].columns.length;
    long across = TARGET(vectors)(columns);
    for (long i = 0; i < rows; i++)
        for (long k = 0; k < across; k++) {
            Complex *to = x + i * across + k;
            long from_row = plan->row_source[i];
            *to = (Complex){{0}, {0}};
            for (long lane = 0; lane < LANES && k * LANES + lane < columns; lane++) {
                long from_column = plan->column_source[k * LANES + lane];
                if (from_row >= 0 && from_column >= 0)
                    ((float *)&to->re)[lane] = signal[from_row * plan->width + from_column];
            }
        }
}

/* Divide a signal that is very large or very small by a power of 2, and return that. */
ATTRIBUTE static float TARGET(normalise_plane)(long n, Complex *x) {
    float largest = 0;
    for (long i = 0; i < n; i++)
        for (int lane = 0; lane < LANES; lane++) {
            float size = fabsf(((float *)&x[i].re)[lane]);
            largest = size > largest ? size : largest;
        }
    int exponent = 0;
    if (largest > 0 && largest <= FLT_MAX) frexpf(largest, &exponent);
    if (exponent > -USUAL && exponent < USUAL) return 1;
    for (long i = 0; i < n; i++) x[i].re *= ldexpf(1, -exponent);
    return ldexpf(1, exponent);
}

/* Sum columns for a few averages down, from their first row on. */
INLINE void TARGET(sums_down)(const Bands *bands, const float *weight, long row, long extent, int n,
                              long across, const Complex *x, Vector *sums) {
    Vector sum[TOGETHER][COLUMNS] = {{{0}}};
    for (long i = 0; i < bands->reach; i++, row = row + 1 == extent ? 0 : row + 1)
#pragma GCC unroll 4
        for (int k = 0; k < n; k++)
#pragma GCC unroll 4
            for (int h = 0; h < TOGETHER; h++)
                sum[h][k] += weight[i * TOGETHER + h] * x[row * across + k].re;
    for (int h = 0; h < TOGETHER; h++)
        for (int k = 0; k < n; k++) sums[h * across + k] = sum[h][k];
}

/* Average rows of sums across, from the first column of a vector of averages on. */
INLINE void TARGET(averages_across)(const Bands *bands, const float *weight, long column,
                                    long extent, const Vector *sums, long across, Vector *means) {
    Vector sum[TOGETHER] = {{0}};
    for (long start = 0; start < bands->reach; start += BLOCK) { /* long sums lose digits */
        Vector part[TOGETHER] = {{0}};
        long stop = start + BLOCK < bands->reach ? start + BLOCK : bands->reach;
        for (long i = start; i < stop; i++, column = column + 1 == extent ? 0 : column + 1) {
            Vector weights = TARGET(load)(weight + i * LANES);
#pragma GCC unroll 4
            for (int h = 0; h < TOGETHER; h++)
                part[h] += ((const float *)(sums + h * across))[column] * weights;
        }
        for (int h = 0; h < TOGETHER; h++) sum[h] += part[h];
    }
    for (int h = 0; h < TOGETHER; h++) means[h] = sum[h];
}

/* Average the modulus in a plane at the places that are kept, a few rows of them at a time. */
ATTRIBUTE static void TARGET(average_plane)(const Plan *plan, long number, float power,
                                            const Complex *x, Vector *sums, float *out) {
    long level = plan->path[number].level, width = plan->out_width, height = plan->out_height;
    const Average *down = plan->down + level, *along = plan->across + level;
    const Bands *rows = plan->bands_down + level, *columns = plan->bands_across + level;
    long across = TARGET(vectors)(along->extent);
    const float *weight = rows->weight;
    for (long h = 0; h < height; h += TOGETHER, weight += rows->reach * TOGETHER) {
        long row = first_place(down, h), k = 0, kept = height - h < TOGETHER ? height - h : TOGETHER;
        for (; k + COLUMNS <= across; k += COLUMNS)
            TARGET(sums_down)(rows, weight, row, down->extent, COLUMNS, across, x + k, sums + k);
        for (; k < across; k++)
            TARGET(sums_down)(rows, weight, row, down->extent, 1, across, x + k, sums + k);
        const float *matrix = columns->weight;
        for (long w = 0; w < width; w += LANES, matrix += columns->reach * LANES) {
            Vector means[TOGETHER];
            TARGET(averages_across)(columns, matrix, first_place(along, w), along->extent, sums,
                                    across, means);
            for (long i = 0; i < kept; i++) {
                Vector scaled = means[i] * power;
                float *to = out + (number * height + h + i) * width + w;
                memcpy(to, &scaled, sizeof(float) * (width - w < LANES ? width - w : LANES));
            }
        }
    }
}

/* Part the real and imaginary parts of a spectrum, whose columns are then whole WIDEST vectors. */
ATTRIBUTE static void TARGET(part)(long columns, long down, const Complex *from, float *re,
                                   float *im) {
    long step = (down * LANES + WIDEST - 1) / WIDEST * WIDEST;
    for (long k = 0; k < columns; k++)
        for (long i = 0; i < down; i++) {
            memcpy(re + k * step + i * LANES, &from[k * down + i].re, sizeof(Vector));
            memcpy(im + k * step + i * LANES, &from[k * down + i].im, sizeof(Vector));
        }
}

/* The same as FILTER for a spectrum with columns for rows, whose parts are apart: `terms` says
   how many weights are not negligible for each WIDEST samples of the result, and then where each
   meets the spectrum. */
ATTRIBUTE static void TARGET(filter_plane)(const Grid *coarse, const float *re, const float *im,
                                           const int32_t *terms, const float *psi, Complex *y) {
    long columns = coarse->columns.length, down = TARGET(vectors)(coarse->rows.length);
    long blocks = (coarse->rows.length + WIDEST - 1) / WIDEST;
    const int32_t *place = terms + columns * blocks;
    for (long k = 0; k < columns; k++)
        for (long i = 0; i < down; i += WIDEST / LANES, terms++) {
            for (long v = 0; v < WIDEST / LANES && i + v < down; v++) {
                Complex sum = {{0}, {0}};
                for (long t = 0; t < *terms; t++) {
                    Vector weight = TARGET(load)(psi + t * WIDEST + v * LANES);
                    sum.im += TARGET(load)(re + place[t] + v * LANES) * weight;
                    sum.re += TARGET(load)(im + place[t] + v * LANES) * weight;
                }
                y[k * down + i + v] = sum;
            }
            place += *terms;
            psi += *terms * WIDEST;
        }
}

/* Return how many vectors a plane takes, turned or not, or in parts, and some to be read beyond
   its end. */
INLINE long TARGET(plane_size)(const Grid *grid) {
    long rows = grid->rows.length, columns = grid->columns.length;
    long one = rows * TARGET(vectors)(columns);
    long two = columns * ((rows + WIDEST - 1) / WIDEST) * (WIDEST / LANES);
    return (one > two ? one : two) + WIDEST / LANES;
}

/* Follow some children of the path whose modulus stands in x, and all below them; x is used up. */
ATTRIBUTE static void TARGET(descend_plane)(const Plan *plan, long number, long begin, long end,
                                            float power, Complex *x, Complex *scratch, float *out) {
    const Path *path = plan->path + number;
    const Grid *grid = plan->grid + path->level;
    long rows = grid->rows.length, columns = grid->columns.length;
    long size = TARGET(plane_size)(grid), down = TARGET(vectors)(rows);
    Complex *turned = x + size, *z = turned + size;
    if (begin == 0) TARGET(average_plane)(plan, number, power, x, (Vector *)scratch, out);
    if (path->children == 0) return;
    TARGET(transform_down)(&grid->rows, TARGET(vectors)(columns), x, scratch);
    TARGET(turn_plane)(rows, columns, x, turned);
    TARGET(transform_down)(&grid->columns, down, turned, scratch);
    float *re = (float *)x, *im = re + size * LANES;
    TARGET(part)(columns, down, turned, re, im);
    for (long k = path->first_child + begin; k < path->first_child + end; k++) {
        const Path *child = plan->path + k;
        const Grid *coarse = plan->grid + child->level;
        long height = coarse->rows.length, width = coarse->columns.length;
        TARGET(filter_plane)(coarse, re, im, plan->terms + child->terms,
                             plan->filters + child->psi, turned);
        TARGET(transform_down)(&coarse->columns, TARGET(vectors)(height), turned, scratch);
        TARGET(turn_plane)(width, height, turned, z);
        TARGET(transform_down)(&coarse->rows, TARGET(vectors)(width), z, scratch);
        TARGET(modulus)(height * TARGET(vectors)(width), z);
        TARGET(descend_plane)(plan, k, 0, child->children, power, z, scratch, out);
    }
}

/* Do some parts of the work of one signal. */
ATTRIBUTE static void TARGET(scatter_plane)(const Plan *plan, long begin, long end,
                                            const float *signal, void *space, void *scratch,
                                            float *out) {
    TARGET(gather_plane)(plan, signal, space);
    float power = TARGET(normalise_plane)(
        plan->grid->rows.length * TARGET(vectors)(plan->grid->columns.length), space);
    TARGET(descend_plane)(plan, 0, begin, end, power, space, scratch, out);
}

#undef COLUMNS
#undef INTERLEAVED
#undef LOW
#undef HIGH
#undef INLINE
#undef Complex
#undef Vector

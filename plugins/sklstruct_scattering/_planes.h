/* The transform of one large signal at a time, with neighbouring columns, or rows, in the lanes.

   Included after _lanes.h, once for each instruction set.  A plane lies row by row, LANES columns
   to a vector, and the lanes left free at the end of a row are of no account.  A Fourier
   transform goes along rows, turns the plane, and goes along its columns, so that a spectrum has
   columns for rows; so have the filters. */

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

/* Sum columns from a row on, with the weights of an average. */
INLINE void TARGET(sums_down)(const Average *down, long row, int n, long across, const Complex *x,
                              Vector *sums) {
    Vector sum[4] = {{0}};
    for (long i = 0; i < down->reach; i++, row = row + 1 == down->extent ? 0 : row + 1)
#pragma GCC unroll 4
        for (int k = 0; k < n; k++) sum[k] += down->weight[i] * x[row * across + k].re;
    for (int k = 0; k < n; k++) sums[k] = sum[k];
}

/* Average n rows of sums across, by a matrix with a row for each column. */
INLINE void TARGET(averages_across)(int n, const Vector *sums, long across, long columns,
                                    const float *matrix, long step, float power, float *to,
                                    long apart, long width) {
    Vector sum[4] = {{0}};
    for (long start = 0; start < columns; start += BLOCK) { /* long sums lose digits */
        Vector part[4] = {{0}};
        long stop = start + BLOCK < columns ? start + BLOCK : columns;
        for (long c = start; c < stop; c++) {
            Vector weight = TARGET(load)(matrix + c * step);
#pragma GCC unroll 4
            for (int h = 0; h < n; h++)
                part[h] += ((const float *)(sums + h * across))[c] * weight;
        }
        for (int h = 0; h < n; h++) sum[h] += part[h];
    }
    for (int h = 0; h < n; h++) {
        Vector scaled = sum[h] * power;
        memcpy(to + h * apart, &scaled, sizeof(float) * (width < LANES ? width : LANES));
    }
}

/* Average the modulus in a plane at the places that are kept, four rows of them at a time. */
ATTRIBUTE static void TARGET(average_plane)(const Plan *plan, long number, float power,
                                            const Complex *x, Vector *sums, float *out) {
    long level = plan->path[number].level, width = plan->out_width;
    const Average *down = plan->down + level;
    long columns = plan->across[level].extent, across = TARGET(vectors)(columns);
    long step = TARGET(vectors)(width) * LANES, left;
    for (long h = 0; h < plan->out_height; h += left) {
        left = plan->out_height - h < 4 ? 1 : 4;
        for (long one = 0; one < left; one++) {
            long row = first_place(down, h + one), k = 0;
            Vector *to = sums + one * across;
            for (; k + 4 <= across; k += 4) TARGET(sums_down)(down, row, 4, across, x + k, to + k);
            for (; k < across; k++) TARGET(sums_down)(down, row, 1, across, x + k, to + k);
        }
        float *to = out + (number * plan->out_height + h) * width;
        for (long w = 0; w < width; w += LANES) {
            const float *matrix = plan->matrix[level] + w;
            if (left == 4)
                TARGET(averages_across)(4, sums, across, columns, matrix, step, power, to + w,
                                        width, width - w);
            else
                TARGET(averages_across)(1, sums, across, columns, matrix, step, power, to + w,
                                        width, width - w);
        }
    }
}

/* Part the real and imaginary parts of a spectrum of so many vectors. */
ATTRIBUTE static void TARGET(part)(long n, const Complex *from, float *re, float *im) {
    for (long i = 0; i < n; i++) {
        memcpy(re + i * LANES, &from[i].re, sizeof(Vector));
        memcpy(im + i * LANES, &from[i].im, sizeof(Vector));
    }
}

/* The same as FILTER for a spectrum with columns for rows, whose parts are apart. */
ATTRIBUTE static void TARGET(filter_plane)(const Grid *grid, const Grid *coarse, const float *re,
                                           const float *im, const float *psi, Complex *y) {
    long rows = coarse->rows.length, columns = coarse->columns.length;
    long height = grid->rows.length, step = TARGET(vectors)(height) * LANES;
    long down = height / rows, across = grid->columns.length / columns;
    for (long k = 0; k < columns; k++)
        for (long i = 0; i < TARGET(vectors)(rows); i++) {
            Complex sum = {{0}, {0}};
            for (long b = 0; b < across; b++)
                for (long a = 0; a < down; a++) {
                    long column = k + b * columns, row = i * LANES + a * rows;
                    Vector weight = TARGET(load)(psi + column * height + row);
                    sum.im += TARGET(load)(re + column * step + row) * weight;
                    sum.re += TARGET(load)(im + column * step + row) * weight;
                }
            y[k * TARGET(vectors)(rows) + i] = sum;
        }
}

/* Return how many vectors a plane takes, turned or not, and some to be read beyond its end. */
INLINE long TARGET(plane_size)(const Grid *grid) {
    long rows = grid->rows.length, columns = grid->columns.length;
    long one = rows * TARGET(vectors)(columns), two = columns * TARGET(vectors)(rows);
    return (one > two ? one : two) + 1;
}

/* Follow the paths below the one whose modulus stands in x; x is used up. */
ATTRIBUTE static void TARGET(descend_plane)(const Plan *plan, long number, float power, Complex *x,
                                            Complex *scratch, float *out) {
    const Path *path = plan->path + number;
    const Grid *grid = plan->grid + path->level;
    long rows = grid->rows.length, columns = grid->columns.length;
    long size = TARGET(plane_size)(grid), down = TARGET(vectors)(rows);
    Complex *turned = x + size, *z = turned + size;
    TARGET(average_plane)(plan, number, power, x, (Vector *)scratch, out);
    if (path->children == 0) return;
    TARGET(transform_down)(&grid->rows, TARGET(vectors)(columns), x, scratch);
    TARGET(turn_plane)(rows, columns, x, turned);
    TARGET(transform_down)(&grid->columns, down, turned, scratch);
    float *re = (float *)x, *im = re + size * LANES;
    TARGET(part)(columns * down, turned, re, im);
    for (long k = 0; k < path->children; k++) {
        const Path *child = plan->path + path->first_child + k;
        const Grid *coarse = plan->grid + child->level;
        long height = coarse->rows.length, width = coarse->columns.length;
        TARGET(filter_plane)(grid, coarse, re, im, plan->filters + child->psi, turned);
        TARGET(transform_down)(&coarse->columns, TARGET(vectors)(height), turned, scratch);
        TARGET(turn_plane)(width, height, turned, z);
        TARGET(transform_down)(&coarse->rows, TARGET(vectors)(width), z, scratch);
        TARGET(modulus)(height * TARGET(vectors)(width), z);
        TARGET(descend_plane)(plan, path->first_child + k, power, z, scratch, out);
    }
}

/* Scatter one signal. */
ATTRIBUTE static void TARGET(scatter_plane)(const Plan *plan, const float *signal, void *space,
                                            void *scratch, float *out) {
    TARGET(gather_plane)(plan, signal, space);
    float power = TARGET(normalise_plane)(
        plan->grid->rows.length * TARGET(vectors)(plan->grid->columns.length), space);
    TARGET(descend_plane)(plan, 0, power, space, scratch, out);
}

#undef INTERLEAVED
#undef LOW
#undef HIGH
#undef INLINE
#undef Complex
#undef Vector

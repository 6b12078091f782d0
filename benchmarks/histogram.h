/* Values in buckets of 1/32 of their power of two: percentiles within 3 per cent. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { EXACT = 64, SUB_BUCKETS = 32, OCTAVES = 40 };
struct histogram {
    uint64_t count, max;
    uint64_t buckets[EXACT + SUB_BUCKETS * OCTAVES];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    size_t index = value;
    if (value >= EXACT) {
        int octave = 63 - __builtin_clzll(value); /* at least 6 */
        if (octave >= OCTAVES)
            octave = OCTAVES - 1;
        index = EXACT + (size_t)(octave - 6) * SUB_BUCKETS
                + ((value >> (octave - 5)) & (SUB_BUCKETS - 1));
    }
    histogram->buckets[index]++;
    histogram->count++;
    if (value > histogram->max)
        histogram->max = value;
}

/* The lower edge of the bucket that holds the given share of all values. */
static inline uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (size_t index = 0; index < sizeof histogram->buckets / sizeof *histogram->buckets; index++) {
        seen += histogram->buckets[index];
        if (seen > wanted) {
            if (index < EXACT)
                return index;
            size_t octave = (index - EXACT) / SUB_BUCKETS + 6, sub = (index - EXACT) % SUB_BUCKETS;
            return (uint64_t)(SUB_BUCKETS + sub) << (octave - 5);
        }
    }
    return histogram->max;
}

#endif

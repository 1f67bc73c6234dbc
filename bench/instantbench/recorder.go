//go:build linux

package main

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest latency that is told from longer ones.
const longest = 10 * time.Minute

// recorder is a histogram of latencies, exact to three digits above a
// microsecond. One goroutine records; merge when it has ended.
type recorder struct{ microseconds *hdrhistogram.Histogram }

func newRecorder() recorder {
	return recorder{hdrhistogram.New(1, longest.Microseconds(), 3)}
}

// record adds a latency in nanoseconds. What is out of range counts as the
// nearest that is in it.
func (r recorder) record(nanoseconds int64) {
	// In range, so there is no error.
	_ = r.microseconds.RecordValue(min(max(nanoseconds/1_000, 0), longest.Microseconds()))
}

func (r recorder) merge(from recorder) { r.microseconds.Merge(from.microseconds) }

// latency is what a recorder knows, in milliseconds.
type latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
	// Curve is the latency at quantileOf(0), quantileOf(1), … up to Max, or up
	// to one value in a million.
	Curve []float64 `json:"curve,omitempty"`
}

// quantileOf is the ith point of a curve: each second one halves what is above
// it, so that tails are seen.
func quantileOf(i int) float64 { return 1 - math.Exp2(-float64(i)/2) }

// curveLength is the greatest number of points: up to one in a million.
const curveLength = 41

func (r recorder) latency() latency {
	at := func(q float64) float64 { return float64(r.microseconds.ValueAtQuantile(q)) / 1_000 }
	count, greatest := r.microseconds.TotalCount(), float64(r.microseconds.Max())/1_000
	var curve []float64
	for i := 0; i < curveLength && count > 0; i++ {
		if float64(count)*(1-quantileOf(i)) < 1 {
			curve = append(curve, greatest)
			break
		}
		curve = append(curve, at(100*quantileOf(i)))
	}
	return latency{
		Count: count, Curve: curve,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: greatest,
	}
}

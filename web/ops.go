package web

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one condition of being ready. Run is called for every question and
// must be quick; its error is the reason, shown to the operator.
type Check struct {
	Name     string
	Run      func() error
	Optional bool // reported, but the server is ready without it
}

// Ops is the handler for the operator's own listener:
//
//	/metrics        what gatherer knows, in Prometheus' format
//	/healthz        200 "ok" while the process answers
//	/readyz         200 or 503 and {"ready":…,"checks":[{"name":…,"ok":…,"reason":…}]}
//	/debug/pprof/   profiles, for peers on loopback only
func Ops(gatherer prometheus.Gatherer, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /readyz", ready(checks))

	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	profiles.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/", Allow(loopback, nil, profiles))
	return mux
}

func ready(checks []Check) http.HandlerFunc {
	type result struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Reason string `json:"reason,omitempty"`
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		report := struct {
			Ready  bool     `json:"ready"`
			Checks []result `json:"checks"`
		}{true, make([]result, 0, len(checks))}
		for _, check := range checks {
			r := result{Name: check.Name, OK: true}
			if err := check.Run(); err != nil {
				r.OK, r.Reason = false, err.Error()
				report.Ready = report.Ready && check.Optional
			}
			report.Checks = append(report.Checks, r)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !report.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(report)
	}
}

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

func TestReadPage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       extent
		ok         bool
	}{
		{"three messages", `{"code":0,"data":[{"messeages":[{"seq":9},{"seq":8},{"seq":7}]}]}`, extent{9, 7, 3}, true},
		{"an empty page", `{"code":0,"data":[{"messeages":[]}]}`, extent{}, true},
		{"a failure", `{"code":403,"reason":"no"}`, extent{}, false},
		{"a gap", `{"code":0,"data":[{"messeages":[{"seq":9},{"seq":7}]}]}`, extent{}, false},
		{"the wrong order", `{"code":0,"data":[{"messeages":[{"seq":7},{"seq":8}]}]}`, extent{}, false},
		{"one message twice", `{"code":0,"data":[{"messeages":[{"seq":7},{"seq":7}]}]}`, extent{}, false},
		{"no number", `{"code":0,"data":[{"messeages":[{"seq":"x"}]}]}`, extent{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := readPage([]byte(tt.body))
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("readPage(%s) = %+v, %v; want %+v", tt.body, got, err, tt.want)
			}
		})
	}
}

func TestGetPageIsARequest(t *testing.T) {
	t.Parallel()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(getPage("h:1", "token", "c", 10, 77))))
	if err != nil {
		t.Fatal(err)
	}
	q := r.URL.Query()
	if r.URL.Path != "/instant/c_message_history" || r.Header.Get("x-token") != "token" ||
		q.Get("conversation_id") != "c" || q.Get("limit") != "10" || q.Get("before_id") != "77" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
}

func FuzzReadPage(f *testing.F) {
	f.Add([]byte(`{"code":0,"data":[{"messeages":[{"seq":9},{"seq":8}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := readPage(body)
		if err == nil && e.messages > 0 && e.newest-e.oldest != uint64(e.messages-1) {
			t.Errorf("readPage(%q) = %+v", body, e)
		}
	})
}

func TestMemoryFigures(t *testing.T) {
	t.Parallel()
	status := []byte("Name:\tinstantd\nVmRSS:\t   1234 kB\nRssAnon:\t 99 kB\n")
	if rss, anon, none := kilobytes(status, "VmRSS:"), kilobytes(status, "RssAnon:"), kilobytes(status, "VmSwap:"); rss != 1234 || anon != 99 || none != -1 {
		t.Errorf("%d, %d, %d kilobytes", rss, anon, none)
	}
	metrics := []byte("# HELP go_goroutines x\ngo_goroutines 17\ngo_memstats_heap_inuse_bytes 1.5e+07\n")
	if n, heap, none := gauge(metrics, "go_goroutines"), gauge(metrics, "go_memstats_heap_inuse_bytes"), gauge(metrics, "go_threads"); n != 17 || heap != 1.5e7 || none != 0 {
		t.Errorf("%g, %g, %g", n, heap, none)
	}
	if got := (memory{RSS: 3_000, Routines: 12}).each(memory{RSS: 1_000, Routines: 2}, 10); got.RSS != 200 || got.Routines != 1 {
		t.Errorf("each = %+v", got)
	}
}

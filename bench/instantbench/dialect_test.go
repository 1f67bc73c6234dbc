//go:build linux

package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestDialectsAreHeard(t *testing.T) {
	t.Parallel()
	message17 := event{kind: message, seq: 18, number: 17}
	body := told(18, text(17, 40))
	msg := func(head, body string) string { return head + " " + strconv.Itoa(len(body)) + "\r\n" + body + "\r\n" }
	tests := []struct {
		name    string
		dialect dialect
		payload string
		want    []event
	}{
		{"instant: a frame is one event", instantDialect{}, body, []event{message17}},
		{"centrifuge: the first replies end with ready", centrifugeDialect{},
			`{"id":1,"connect":{"client":"x","version":"0.0.0","ping":25,"pong":true}}` + "\n" + `{"id":2,"subscribe":{}}`, []event{{}, {kind: ready}}},
		{"centrifuge: publications share a frame", centrifugeDialect{},
			`{"push":{"channel":"bench","pub":{"data":` + body + `}}}` + "\n" + `{"push":{"channel":"bench","pub":{"data":` + body + `}}}`, []event{message17, message17}},
		{"centrifuge: the id of a reply names the message", centrifugeDialect{}, `{"id":20,"publish":{}}`, []event{{kind: reply, number: 17}}},
		{"centrifuge: an error is a refusal", centrifugeDialect{}, `{"id":2,"error":{"code":103,"message":"permission denied"}}`,
			[]event{{kind: reply, number: -1, code: 103}}},
		{"centrifuge: nothing is a ping", centrifugeDialect{}, "{}\n", []event{{kind: ping}}},
		{"nats: it introduces itself and our ping is done", natsDialect{}, "INFO {\"server_id\":\"x\"}\r\n+OK\r\nPONG\r\n", []event{{}, {}, {kind: pong}}},
		{"nats: messages share a frame", natsDialect{}, msg("MSG bench 1", body) + "PING\r\n" + msg("MSG bench 1", body), []event{message17, {kind: ping}, message17}},
		{"jetstream: what is stored comes with a subject to answer", natsDialect{stored: true}, msg("MSG bench 1 $JS.ACK.BENCH.members.1.18.18.1.0", body), []event{message17}},
		{"jetstream: the subject of an answer names the message", natsDialect{stored: true},
			msg("MSG answers.17 2", `{"stream":"BENCH","seq":18}`), []event{{kind: reply, number: 17}}},
		{"jetstream: an error is a refusal", natsDialect{stored: true},
			msg("MSG answers.17 2", `{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"BENCH","seq":0}`), []event{{kind: reply, number: 17, code: 503}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := hearAll(tt.dialect, []byte(tt.payload))
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q is heard as %+v, %v; want %+v", tt.payload, got, err, tt.want)
			}
		})
	}
}

func TestNonsenseIsNotHeard(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		dialect dialect
		payload string
	}{
		{"centrifuge: another protocol", centrifugeDialect{}, "PING\r\n"},
		{"nats: a line without an end", natsDialect{}, "PING"},
		{"nats: an error of the server", natsDialect{}, "-ERR 'Slow Consumer'\r\n"},
		{"nats: a message without a length", natsDialect{}, "MSG bench 1 \r\nabc\r\n"},
		{"nats: a message that is longer than its frame", natsDialect{}, "MSG bench 1 10\r\nabc\r\n"},
		{"nats: a message whose length would overflow", natsDialect{}, "MSG bench 1 999999999999999999\r\nabc\r\n"},
		{"nats: another protocol", natsDialect{}, "{}\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := hearAll(tt.dialect, []byte(tt.payload)); err == nil {
				t.Errorf("%q is heard as %+v", tt.payload, got)
			}
		})
	}
}

func TestPeersCarryTheSameBytes(t *testing.T) {
	t.Parallel()
	body := told(18, text(17, 200))
	for name, d := range map[string]dialect{"centrifuge": centrifugeDialect{}, "nats": natsDialect{}, "jetstream": natsDialect{stored: true}} {
		if sent := string(d.send(17, "bench", text(17, 200))); !strings.Contains(sent, body) {
			t.Errorf("%s sends %q, want %q in it", name, sent, body)
		}
	}
}

// hearAll hears a whole payload, as a member does.
func hearAll(d dialect, payload []byte) (events []event, err error) {
	for len(payload) > 0 {
		e, n, err := d.hear(payload)
		if err != nil {
			return events, err
		}
		events, payload = append(events, e), payload[n:]
	}
	return events, nil
}

func FuzzCentrifuge(f *testing.F) {
	f.Add([]byte(`{"id":2,"error":{"code":103}}` + "\n\n" + `{"push":{"channel":"bench","pub":{"data":` + told(1, "#0 ") + `}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) { hearFuzzed(t, centrifugeDialect{}, payload) })
}

func FuzzNATS(f *testing.F) {
	f.Add([]byte("INFO {}\r\nMSG bench 1 3\r\nabc\r\nMSG answers.1 2 2\r\n{}\r\nPONG\r\n"))
	f.Fuzz(func(t *testing.T, payload []byte) { hearFuzzed(t, natsDialect{stored: true}, payload) })
}

// hearFuzzed checks that whatever comes is heard bit by bit until its end.
func hearFuzzed(t *testing.T, d dialect, payload []byte) {
	for len(payload) > 0 {
		_, n, err := d.hear(payload)
		if err != nil {
			return
		}
		if n < 1 || n > len(payload) {
			t.Fatalf("%d of %d bytes are heard", n, len(payload))
		}
		payload = payload[n:]
	}
}

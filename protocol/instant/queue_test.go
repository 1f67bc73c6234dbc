package instant

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"instantd/protocol"
)

// knownBroker is the AMQP side as the requests see it.
type knownBroker struct {
	mu      sync.Mutex
	settled []protocol.MessageID
	hidden  bool
}

func (b *knownBroker) Settled(_ context.Context, id protocol.MessageID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = append(b.settled, id)
}

func (b *knownBroker) Public() (BrokerAddress, bool) {
	return BrokerAddress{Host: "172.19.102.81", Port: 5672, User: "instant", Password: "instant", Vhost: "/instant"}, !b.hidden
}

func TestALoginLearnsItsQueue(t *testing.T) {
	t.Parallel()
	broker := &knownBroker{}
	s := serve(t, func(o *Options) { o.Broker = broker })
	token := s.login(t, "a")
	ask := func() (queue string) {
		t.Helper()
		status, body := s.do(t, "GET", "/instant/c_queue", token, "", nil)
		var got struct{ Data brokerAnswer }
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		want := brokerAnswer{Queue: got.Data.Queue, Host: "172.19.102.81", Port: 5672, User: "instant", Vhost: "/instant", Password: "instant"}
		if got.Data != want || !OwnsQueue("a", got.Data.Queue) {
			t.Errorf("got %s", body)
		}
		return got.Data.Queue
	}
	if first, again := ask(), ask(); first != again {
		t.Errorf("asked twice, got %s and %s", first, again)
	}
	if len(broker.settled) == 0 {
		t.Error("the answer did not wait for the queue")
	}
	// A session that asks for a queue gets the same one.
	conn, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(s.main.URL, "http")+"/instant/ws?queue=1&token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	queue := ask()
	s.core.mu.Lock()
	defer s.core.mu.Unlock()
	for _, command := range s.core.delivers {
		if open, is := command.(protocol.OpenSession); is && open.Queue != queue {
			t.Errorf("the session asked for %q, want %q", open.Queue, queue)
		}
	}
}

func TestAClientRegistersItsOwnQueueOnly(t *testing.T) {
	t.Parallel()
	broker := &knownBroker{}
	s := serve(t, func(o *Options) { o.Broker = broker })
	token := s.login(t, "a")
	for body, want := range map[string]int{
		`{"queue":"queue_u_a_1x"}`:     200,
		`{"queue":"queue_u_b_1x"}`:     403,
		`{"queue":"queue_u_a"}`:        403,
		`{"queue":""}`:                 400,
		`{"queue":"queue_u_a_\u0000"}`: 400,
		`{}`:                           400,
	} {
		if status, answer := s.post(t, "/instant/c_queue", token, body); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, answer, want)
		}
	}
	queues := s.core.users["a"].Queues
	if len(queues) != 1 || queues[0] != (protocol.Queue{Name: "queue_u_a_1x", Class: protocol.ClassPC, Declared: true}) {
		t.Errorf("bound: %+v", queues)
	}
}

func TestCreateWaitsForItsExchange(t *testing.T) {
	t.Parallel()
	broker := &knownBroker{}
	s := serve(t, func(o *Options) { o.Broker = broker })
	token := s.login(t, "a")
	if status, body := s.post(t, "/instant/c_conversation", token, `{"type":"group","conversation_id":"c"}`); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if want := s.core.talks["c"].Created; len(broker.settled) != 1 || broker.settled[0] != want {
		t.Errorf("waited for %v, want %d", broker.settled, want)
	}
}

func TestWithoutABrokerThereAreNoQueues(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"no broker":     nil,
		"hidden broker": func(o *Options) { o.Broker = &knownBroker{hidden: true} },
	} {
		s := serve(t, change)
		token := s.login(t, "a")
		if status, body := s.do(t, "GET", "/instant/c_queue", token, "", nil); status != 503 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestMQInfo(t *testing.T) {
	t.Parallel()
	const known = `{"code":0,"data":{"host":"172.19.102.81","port":5672,"user":"instant","vhost":"/instant","password":"instant"}}`
	for name, test := range map[string]struct {
		on    bool
		allow string
		want  int
	}{
		"off by default":           {false, "", 404},
		"on: loopback only":        {true, "", 200},
		"on: this address":         {true, "127.0.0.0/8", 200},
		"on: only another network": {true, "10.0.0.0/8", 403},
	} {
		s := serve(t, func(o *Options) {
			o.Broker, o.MQInfo = &knownBroker{}, test.on
			if test.allow != "" {
				o.MQInfoAllow = []netip.Prefix{netip.MustParsePrefix(test.allow)}
			}
		})
		status, body := s.do(t, "GET", "/app/p_mq", "", "", nil)
		if status != test.want || status == 200 && body != known {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestOnlyTheSocketsOwnAddressCounts(t *testing.T) {
	t.Parallel()
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	for remote, want := range map[string]bool{
		"10.1.2.3:99": true, "[::ffff:10.1.2.3]:99": true, "[fe80::1%eth0]:9": true, "11.1.2.3:99": false, "nonsense": false, "@": false,
	} {
		if got := mayAsk(remote, ten); got != want {
			t.Errorf("%s: got %v", remote, got)
		}
	}
	if !mayAsk("[::1]:7", nil) || mayAsk("10.0.0.1:7", nil) {
		t.Error("without a list, loopback is let in and nobody else")
	}
}

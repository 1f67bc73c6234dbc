package instant

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The broker does not say which of many steps it refused.
func TestARefusedStepCostsNoOther(t *testing.T) {
	t.Parallel()
	url := vhost(t)
	c := newClient(t, url)
	l, err := openLink(t.Context(), url, "test", time.Minute, func(*link) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	name := func(i int) string { return fmt.Sprintf("exchange_c_%d", i) }
	const many = 2*stepsAtOnce + 1
	exist := map[int]bool{0: true, 1: true, stepsAtOnce / 2: true, stepsAtOnce: true, many - 1: true}
	var steps []step
	for i := range many {
		steps = append(steps, step{do: declareExchange, name: name(i)})
		if exist[i] {
			if err := c.ch.ExchangeDeclare(name(i), "direct", true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := make(map[string]bool)
	d := declarer{link: l, exchangeType: "topic", kept: func(s step, _ *amqp.Error) { kept[s.name] = true }}
	if err := d.apply(steps...); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if kept[name(i)] != exist[i] {
			t.Errorf("%s is kept as it is: %v, want %v", name(i), kept[name(i)], exist[i])
		}
		if !exist[i] && !c.hasExchange(name(i)) {
			t.Errorf("%s is missing", name(i))
		}
	}
}

func TestAStepThatMustNotBeRefusedFails(t *testing.T) {
	t.Parallel()
	url := vhost(t)
	l, err := openLink(t.Context(), url, "test", time.Minute, func(*link) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	d := declarer{link: l, exchangeType: "topic", kept: func(s step, _ *amqp.Error) { t.Errorf("%s is kept", s.name) }}
	err = d.apply(step{do: declareExchange, name: "a"}, step{do: bindExchange, name: "a", from: "missing"}, step{do: declareExchange, name: "b"})
	if err == nil {
		t.Error("a binding to what is missing counts as done")
	}
}

// Several goroutines may wait for answers.
func TestTheOldestWaitIsOverdue(t *testing.T) {
	t.Parallel()
	l := &link{waits: make(map[*time.Time]struct{})}
	now := time.Now()
	old, recent := now.Add(-replyTimeout-time.Second), now.Add(-time.Second)
	if l.overdue(now) {
		t.Error("overdue while nobody waits")
	}
	l.waits[&recent] = struct{}{}
	if l.overdue(now) {
		t.Error("overdue after a second")
	}
	l.waits[&old] = struct{}{}
	if !l.overdue(now) {
		t.Error("the second wait hides the first")
	}
	l.setBlocked(amqp.Blocking{})
	if l.overdue(now) {
		t.Error("the time that the broker was blocked counts")
	}
}

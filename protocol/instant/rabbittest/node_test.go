package rabbittest

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestNodeLivesAndDiesByCommand(t *testing.T) {
	t.Parallel()
	node := Start(t)

	declare := func(queue string) {
		t.Helper()
		conn := dial(t, node)
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(queue string) bool {
		t.Helper()
		conn := dial(t, node)
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		_, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err == nil
	}

	declare("kept")
	node.Restart(t)
	if !exists("kept") {
		t.Error("a restart lost a durable queue")
	}
	node.Kill(t)
	if _, err := amqp.Dial(node.URL()); err == nil {
		t.Error("a killed node answers")
	}
	node.Restart(t)
	if !exists("kept") {
		t.Error("a kill lost a durable queue")
	}
	node.Reset(t)
	if exists("kept") {
		t.Error("a reset kept a queue")
	}
}

func TestMemoryAlarmBlocksPublishers(t *testing.T) {
	t.Parallel()
	node := Start(t)
	conn := dial(t, node)
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	node.SetMemoryAlarm(t, true)
	if err := ch.Publish("", "nowhere", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; !b.Active {
		t.Error("the alarm does not block")
	}
	node.SetMemoryAlarm(t, false)
	if b := <-blocked; b.Active {
		t.Error("the alarm does not clear")
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	node, err := launch()
	if err != nil {
		t.Fatal(err)
	}
	// What happens when the test binary dies: the pipe closes, nothing else.
	_ = node.guardian.pipe.Close()
	<-node.running.exited
	_ = node.guardian.cmd.Wait()
	if _, err := os.Stat(node.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if conn, err := net.Dial("tcp", node.URL()[len("amqp://guest:guest@"):len(node.URL())-1]); err == nil {
		conn.Close()
		t.Error("the port is still served")
	}
}

func TestVhostsAreSeparate(t *testing.T) {
	t.Parallel()
	node := Shared(t)
	for _, url := range []string{node.Vhost(t), node.Vhost(t)} {
		conn, err := amqp.Dial(url)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if err := ch.ExchangeDeclarePassive("here", "topic", true, false, false, false, nil); err == nil {
			t.Error("an exchange of the other virtual host is seen")
		}
		if ch, err = conn.Channel(); err != nil {
			t.Fatal(err)
		}
		if err := ch.ExchangeDeclare("here", "topic", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

func dial(t *testing.T, node *Node) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

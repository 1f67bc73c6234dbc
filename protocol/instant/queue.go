package instant

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

// queue tells the caller the AMQP queue of his login (SPEC §2.7). A login that
// has none yet gets one.
func (d *Dialect) queue(ctx context.Context, r request) (answer, error) {
	address, err := d.address()
	if err != nil {
		return answer{}, err
	}
	user, err := protocol.Do(ctx, d.Core, protocol.UserOf{User: r.by.User})
	if err != nil {
		return answer{}, err
	}
	name, ok := ownQueue(user, r.by.Class)
	if !ok {
		name = QueueName(r.by.User)
	}
	// Even a known one is bound anew: the broker drops what nobody reads for long.
	_, err = protocol.Do(ctx, d.Core, protocol.BindQueue{By: r.by, Queue: protocol.Queue{Name: name, Class: r.by.Class}})
	if err != nil {
		return answer{}, err
	}
	d.settle(ctx, settledNow)
	out := addressAnswer(address)
	out.Queue = name
	return answer{Data: out}, nil
}

// settledNow is the id to wait for when the answer of the core has none:
// everything that is committed by now.
const settledNow protocol.MessageID = 0

// ownQueue is the queue that the server declared for a device class.
func ownQueue(user protocol.User, class protocol.DeviceClass) (string, bool) {
	for _, q := range user.Queues {
		if q.Class == class && !q.Declared {
			return q.Name, true
		}
	}
	return "", false
}

// registerQueue puts a queue that the client declared under the server's care.
func (d *Dialect) registerQueue(ctx context.Context, r request) (answer, error) {
	body, err := r.body()
	if err != nil {
		return answer{}, err
	}
	name, err := decodeQueue(body)
	if err != nil {
		return answer{}, err
	}
	if !OwnsQueue(r.by.User, name) {
		return answer{}, protocol.Errorf(protocol.Forbidden, "queue does not carry your own id: it must begin with queue_u_%s_", r.by.User)
	}
	if d.Broker == nil {
		return answer{}, protocol.Errorf(protocol.Unavailable, "the server has no message broker")
	}
	_, err = protocol.Do(ctx, d.Core, protocol.BindQueue{
		By: r.by, Queue: protocol.Queue{Name: name, Class: r.by.Class, Declared: true},
	})
	if err != nil {
		return answer{}, err
	}
	d.settle(ctx, settledNow)
	return answer{}, nil
}

func decodeQueue(body []byte) (string, error) {
	o, err := parseObject(body)
	if err != nil {
		return "", err
	}
	return o.requiredID("queue")
}

// mqInfo is p_mq: where the broker is, without a login.
func (d *Dialect) mqInfo(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	if !d.MQInfo {
		d.refuse(w, r, protocol.Errorf(protocol.NotFound, "p_mq is switched off: ask for /instant/c_queue"))
		return
	}
	if !mayAsk(r.RemoteAddr, d.MQInfoAllow) {
		d.refuse(w, r, protocol.Errorf(protocol.Forbidden, "p_mq does not answer your address"))
		return
	}
	address, err := d.address()
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	write(w, http.StatusOK, answer{Data: addressAnswer(address)})
}

// mayAsk looks at the socket's own address, never at a header.
func mayAsk(remote string, allowed []netip.Prefix) bool {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	address := from.Addr().Unmap().WithZone("")
	if len(allowed) == 0 {
		return address.IsLoopback()
	}
	for _, prefix := range allowed {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

func (d *Dialect) address() (BrokerAddress, error) {
	if d.Broker == nil {
		return BrokerAddress{}, protocol.Errorf(protocol.Unavailable, "the server has no message broker")
	}
	address, ok := d.Broker.Public()
	if !ok {
		return BrokerAddress{}, protocol.Errorf(protocol.Unavailable, "the server hands out no broker address")
	}
	return address, nil
}

func addressAnswer(a BrokerAddress) brokerAnswer {
	return brokerAnswer{Host: a.Host, Port: a.Port, User: a.User, Vhost: a.Vhost, Password: a.Password}
}

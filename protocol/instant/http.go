package instant

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

// Options are what the dialect is made of. Core, Authority and Files must be set.
type Options struct {
	Core      protocol.Core
	Authority protocol.Authority
	Files     protocol.Files
	Location  *time.Location // of every time that clients read and write; nil is UTC
	Compat    Compat         // empty is Superset

	// Broker is the AMQP side; nil when there is none. With it every login of
	// the center gets a queue.
	Broker MessageBroker

	// MQInfo serves p_mq, which hands out the broker's client credentials
	// without a login, to these source addresses; none means loopback only.
	MQInfo      bool
	MQInfoAllow []netip.Prefix

	// AdminSecret signs POST /instant/base; empty refuses everything.
	// AdminAnyTime accepts signatures of any age.
	AdminSecret  string
	AdminAnyTime bool

	MaxFiles      int   // per upload; 0 is 16
	MaxFileSize   int64 // bytes of one file; 0 is 100 MiB
	MaxUploadSize int64 // bytes of all files of one upload; 0 is 200 MiB

	// Upgrade turns a request into a connection and runs serve; the connection
	// is closed when serve returns. nil: there is no /instant/ws.
	Upgrade func(w http.ResponseWriter, r *http.Request, serve func(context.Context, protocol.Conn))

	Log *slog.Logger // nil discards
}

// MessageBroker is what the request side must know of the AMQP side.
type MessageBroker interface {
	// Settled waits until AMQP shows everything that was committed up to id, or
	// by now when id is 0, and at most as long as the broker side itself allows.
	// It returns at once when the broker is away.
	Settled(ctx context.Context, id protocol.MessageID)
	// Public is where clients find the broker, false when they may not know.
	Public() (BrokerAddress, bool)
}

// Dialect serves the instant dialect. Make it with New; it is safe for
// concurrent use and holds nothing that must be closed.
type Dialect struct {
	Options
	encoder Encoder
	base    Base
	now     func() time.Time
}

// New makes a Dialect.
func New(o Options) *Dialect {
	if o.MaxFiles == 0 {
		o.MaxFiles = 16
	}
	if o.MaxFileSize == 0 {
		o.MaxFileSize = 100 << 20
	}
	if o.MaxUploadSize == 0 {
		o.MaxUploadSize = 200 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Dialect{
		Options: o,
		encoder: NewEncoder(o.Location, o.Compat),
		base:    Base{Core: o.Core, DeclareQueues: o.Broker != nil},
		now:     time.Now,
	}
}

// Encoder renders committed events for this dialect's sessions.
func (d *Dialect) Encoder() Encoder { return d.encoder }

// Register mounts what clients use (SPEC §1.1, §2): /instant/*, its alias /app/*,
// /uploads and /files/*.
func (d *Dialect) Register(r *httprouter.Router) {
	for _, prefix := range []string{"/instant", "/app"} {
		r.GET(prefix+"/c_conversation", d.member(d.conversations))
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			r.Handle(method, prefix+"/c_conversation", d.member(d.changeConversation))
		}
		r.GET(prefix+"/c_message_offline", d.member(d.messageOffline))
		r.GET(prefix+"/c_message_unread", d.member(d.messageUnread))
		r.GET(prefix+"/c_message_history", d.member(d.messageHistory))
		r.POST(prefix+"/c_message_text", d.member(d.messageText))
		r.POST(prefix+"/c_message", d.member(d.upload))
		r.GET(prefix+"/c_broadcast_offline", d.member(d.broadcastOffline))
		r.GET(prefix+"/c_broadcast_unread", d.member(d.broadcastUnread))
		r.GET(prefix+"/c_broadcast_history", d.member(d.broadcastHistory))
		r.GET(prefix+"/c_event_history", d.member(d.eventHistory))
		r.GET(prefix+"/c_queue", d.member(d.queue))
		r.POST(prefix+"/c_queue", d.member(d.registerQueue))
		r.GET(prefix+"/p_mq", d.mqInfo)
		if d.Upgrade != nil {
			r.GET(prefix+"/ws", d.webSocket)
		}
	}
	r.POST("/uploads", d.member(d.upload))
	r.GET("/files/*path", d.download)
	r.HEAD("/files/*path", d.download)
}

// request is an authenticated request.
type request struct {
	*http.Request
	by    protocol.Principal
	query url.Values
}

// member serves requests that carry a token in force.
func (d *Dialect) member(serve func(context.Context, request) (answer, error)) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
		by, err := d.authenticate(r, ParseToken(r.Header.Get("x-token")))
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		out, err := serve(r.Context(), request{r, by, r.URL.Query()})
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		write(w, http.StatusOK, out)
	}
}

// body reads a JSON body.
func (r request) body() ([]byte, error) { return readBody(r.Body, MaxBody) }

func readBody(body io.ReadCloser, limit int64) ([]byte, error) {
	read, err := io.ReadAll(http.MaxBytesReader(nil, body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	return read, nil
}

// conversations lists those of the caller (SPEC §2.1).
func (d *Dialect) conversations(ctx context.Context, r request) (answer, error) {
	listed, err := protocol.Do(ctx, d.Core, protocol.Conversations{By: r.by})
	if err != nil {
		return answer{}, err
	}
	return answer{Data: encodeConversations(listed)}, nil
}

func (d *Dialect) changeConversation(ctx context.Context, r request) (answer, error) {
	body, err := r.body()
	if err != nil {
		return answer{}, err
	}
	create, order, err := DecodeConversation(r.Method, r.by, body)
	if err != nil {
		return answer{}, err
	}
	if create == nil {
		_, err = protocol.Do(ctx, d.Core, order)
		return answer{}, err
	}
	view, err := protocol.Do(ctx, d.Core, *create)
	if err != nil {
		return answer{}, err
	}
	// A client that declares its queue itself binds it to the conversation's
	// exchange right after this answer, so the exchange must be there (SPEC §4.2).
	d.settle(ctx, view.Created)
	return d.created(created{ConversationID: view.ID, CreateUTCTime: utcTime(view.CreatedAt())}), nil
}

// created spells data as the document does in this one answer.
func (d *Dialect) created(c created) answer {
	switch d.Compat {
	case Clean:
		return answer{Data: c}
	case Literal:
		return answer{DataBlank: c}
	}
	return answer{Data: c, DataBlank: c}
}

func (d *Dialect) settle(ctx context.Context, id protocol.MessageID) {
	if d.Broker != nil {
		d.Broker.Settled(ctx, id)
	}
}

func (d *Dialect) messageOffline(ctx context.Context, r request) (answer, error) {
	got, err := protocol.Do(ctx, d.Core, protocol.Offline{By: r.by})
	if err != nil {
		return answer{}, err
	}
	return answer{Data: d.encoder.encodeThreads(got.Runs), More: got.More}, nil
}

func (d *Dialect) messageUnread(ctx context.Context, r request) (answer, error) {
	id, err := r.conversation()
	if err != nil {
		return answer{}, err
	}
	got, err := d.unread(ctx, r, id)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: d.encoder.encodeThreads(got.Runs), More: got.More}, nil
}

func (d *Dialect) messageHistory(ctx context.Context, r request) (answer, error) {
	id, err := r.conversation()
	if err != nil {
		return answer{}, err
	}
	if id == "" {
		return answer{}, protocol.Errorf(protocol.Invalid, "conversation_id is missing")
	}
	messages, err := d.history(ctx, r, id)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: []thread{d.encoder.encodeThread(id, messages)}}, nil
}

func (d *Dialect) broadcastOffline(ctx context.Context, r request) (answer, error) {
	got, err := protocol.Do(ctx, d.Core, protocol.Offline{By: r.by, Feed: protocol.BroadcastFeed})
	if err != nil {
		return answer{}, err
	}
	return answer{Data: broadcasts{d.encoder.encodeMessages(newestFirst(got.Runs))}, More: got.More}, nil
}

func (d *Dialect) broadcastUnread(ctx context.Context, r request) (answer, error) {
	got, err := d.unread(ctx, r, protocol.BroadcastFeed)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: broadcasts{d.encoder.encodeMessages(newestFirst(got.Runs))}, More: got.More}, nil
}

func (d *Dialect) broadcastHistory(ctx context.Context, r request) (answer, error) {
	messages, err := d.history(ctx, r, protocol.BroadcastFeed)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: broadcasts{d.encoder.encodeMessages(messages)}}, nil
}

func (d *Dialect) eventHistory(ctx context.Context, r request) (answer, error) {
	messages, err := d.history(ctx, r, protocol.ReportFeed)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: events{d.encoder.encodeMessages(messages)}}, nil
}

// unread asks for what came at offset and later (SPEC §2.3).
func (d *Dialect) unread(ctx context.Context, r request, id protocol.ConversationID) (protocol.CaughtUp, error) {
	query := protocol.Unread{By: r.by, Conversation: id}
	if text := r.query.Get("offset"); text != "" {
		offset, err := parseClock("offset", text, d.encoder.location())
		if err != nil {
			return protocol.CaughtUp{}, err
		}
		query.After = offset.since()
	}
	return protocol.Do(ctx, d.Core, query)
}

// history asks for what came at offset and earlier, and before before_id
// (SPEC §2.3).
func (d *Dialect) history(ctx context.Context, r request, id protocol.ConversationID) ([]protocol.Message, error) {
	query := protocol.History{Conversation: id, By: r.by, Limit: protocol.DefaultPage}
	if text := r.query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || limit <= 0 {
			return nil, protocol.Errorf(protocol.Invalid, "limit is not a positive number")
		}
		query.Limit = min(limit, protocol.MaxPage)
	}
	if text := r.query.Get("offset"); text != "" {
		offset, err := parseClock("offset", text, d.encoder.location())
		if err != nil {
			return nil, err
		}
		query.Before = offset.through()
	}
	if text := r.query.Get("before_id"); text != "" {
		before, err := protocol.ParseMessageID("before_id", strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if query.Before == 0 || before < query.Before {
			query.Before = before
		}
	}
	return protocol.Do(ctx, d.Core, query)
}

// conversation is the conversation_id of the query, empty when it has none.
func (r request) conversation() (protocol.ConversationID, error) {
	id := strings.TrimSpace(r.query.Get("conversation_id"))
	if id == "" {
		return "", nil
	}
	return protocol.ConversationID(id), protocol.CheckID("conversation_id", id)
}

// clientID is how the header names the message.
func (r request) clientID() string { return strings.TrimSpace(r.Header.Get("Idempotency-Key")) }

// messageText sends a draft without files (SPEC §2.4).
func (d *Dialect) messageText(ctx context.Context, r request) (answer, error) {
	body, err := r.body()
	if err != nil {
		return answer{}, err
	}
	draft, err := decodeDraft(body, r.clientID())
	if err != nil {
		return answer{}, err
	}
	command, err := draft.text(r.by)
	if err != nil {
		return answer{}, err
	}
	done, err := protocol.Do(ctx, d.Core, command)
	if err != nil {
		return answer{}, err
	}
	return answer{Data: sent{done.ID}}, nil
}

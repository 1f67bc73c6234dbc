package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"

	"instantd/cmd/operator"
	"instantd/persistence"
	"instantd/protocol"
	"instantd/protocol/instant"
)

// operatorAPI answers instantctl: it shows what the server knows and hands out
// backups. Every request is signed.
type operatorAPI struct {
	core   protocol.Core
	store  *persistence.Store
	broker bool // whether there is one
	signed func(http.HandlerFunc) http.HandlerFunc
	log    *slog.Logger

	backup sync.Mutex // one at a time
}

// register mounts the endpoints on the admin listener's router.
func (o *operatorAPI) register(r *httprouter.Router) {
	mount := func(method, path string, h handler) { r.HandlerFunc(method, path, o.signed(o.serve(h))) }
	mount(http.MethodGet, operator.PathUser, answered(o.user))
	mount(http.MethodGet, operator.PathConversation, answered(o.conversation))
	mount(http.MethodGet, operator.PathHistory, answered(o.history))
	mount(http.MethodGet, operator.PathTrace, answered(o.trace))
	mount(http.MethodPost, operator.PathBackup, o.sendBackup)
}

// handler is an endpoint; its error is answered and, when it is ours, logged.
type handler func(w http.ResponseWriter, r *http.Request) error

// serve answers the error of an endpoint.
func (o *operatorAPI) serve(next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := next(w, r)
		if err == nil {
			return
		}
		if protocol.CodeOf(err) == protocol.Internal {
			o.log.Error("operator's request failed", "path", r.URL.Path, "error", err)
		}
		instant.Refuse(w, r, protocol.CodeOf(err), protocol.ReasonOf(err))
	}
}

// answered makes an endpoint of a function that returns what to answer.
func answered[T any](find func(r *http.Request) (T, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		result, err := find(r)
		if err != nil {
			return err
		}
		body, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("encode %T: %w", result, err)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(append(body, '\n')) // a peer that is gone is nobody's error
		return nil
	}
}

func (o *operatorAPI) user(r *http.Request) (operator.User, error) {
	id := protocol.UserID(r.URL.Query().Get("id"))
	if err := protocol.CheckID("id", string(id)); err != nil {
		return operator.User{}, err
	}
	account, err := protocol.Do(r.Context(), o.core, protocol.UserOf{User: id})
	if err != nil {
		return operator.User{}, err
	}
	listed, err := protocol.Do(r.Context(), o.core, protocol.Conversations{By: protocol.AsUser(id)})
	if err != nil {
		return operator.User{}, err
	}
	watermarks, err := protocol.Do(r.Context(), o.core, protocol.Watermarks{By: protocol.AsUser(id)})
	if err != nil {
		return operator.User{}, err
	}
	return userView(account, listed, watermarks), nil
}

func (o *operatorAPI) conversation(r *http.Request) (operator.Conversation, error) {
	id := protocol.ConversationID(r.URL.Query().Get("id"))
	c, err := protocol.Do(r.Context(), o.core, protocol.ConversationOf{Conversation: id, By: protocol.AsSystem()})
	if err != nil {
		return operator.Conversation{}, err
	}
	return conversationView(c), nil
}

func (o *operatorAPI) history(r *http.Request) ([]operator.Message, error) {
	query := r.URL.Query()
	question := protocol.History{Conversation: protocol.ConversationID(query.Get("id")), By: protocol.AsSystem()}
	var err error
	if before := query.Get("before"); before != "" {
		if question.Before, err = protocol.ParseMessageID("before", before); err != nil {
			return nil, err
		}
	}
	if limit := query.Get("limit"); limit != "" {
		question.Limit, err = strconv.Atoi(limit)
		if err != nil || question.Limit < 1 || question.Limit > protocol.MaxPage {
			return nil, protocol.Errorf(protocol.Invalid, "limit is not a number from 1 to %d", protocol.MaxPage)
		}
	}
	messages, err := protocol.Do(r.Context(), o.core, question)
	if err != nil {
		return nil, err
	}
	views := make([]operator.Message, 0, len(messages))
	for _, m := range messages {
		views = append(views, messageView(m))
	}
	return views, nil
}

// trace tells how far a committed event got. Receipts are read from the store,
// where they arrive within a second.
func (o *operatorAPI) trace(r *http.Request) (operator.Trace, error) {
	id, err := protocol.ParseMessageID("id", r.URL.Query().Get("id"))
	if err != nil {
		return operator.Trace{}, err
	}
	record, ok, err := o.store.Find(id)
	if err != nil {
		return operator.Trace{}, err
	}
	if !ok {
		return operator.Trace{}, protocol.Errorf(protocol.NotFound, "no event has the id %s", id)
	}
	trace := operator.Trace{
		ID: id.String(), Committed: id.Time(), Actor: record.Key.String(), Seq: uint64(record.Seq),
		Event: reflect.TypeOf(record.Event).Name(), AMQP: "off",
	}
	if o.broker {
		position, err := o.store.Position(instant.Way)
		if err != nil {
			return operator.Trace{}, err
		}
		trace.AMQP = "waiting"
		if position >= id {
			trace.AMQP = "confirmed"
		}
	}
	trace.Receipts, trace.More, err = o.receipts(record)
	return trace, err
}

// receipts are how far the receivers of a conversation's record got, and how
// many receivers were left out.
func (o *operatorAPI) receipts(record protocol.Record) ([]operator.Receipt, int, error) {
	id := record.Conversation()
	if id == "" || id.IsFeed() {
		return nil, 0, nil
	}
	members, err := o.store.MembersAt(id, record.Seq)
	if err != nil {
		return nil, 0, err
	}
	shown := members[:min(len(members), operator.MaxReceipts)]
	receipts := make([]operator.Receipt, 0, len(shown))
	for _, m := range shown {
		watermarks, err := o.store.Watermarks(m.User)
		if err != nil {
			return nil, 0, err
		}
		receipts = append(receipts, receiptView(m.User, id, record.Seq, watermarks))
	}
	return receipts, len(members) - len(shown), nil
}

// sendBackup streams a consistent copy of the state. A backup that fails on
// the way is cut off, so that nobody takes it for a whole one.
func (o *operatorAPI) sendBackup(w http.ResponseWriter, r *http.Request) error {
	if !o.backup.TryLock() {
		return protocol.Errorf(protocol.Unavailable, "another backup is being made")
	}
	defer o.backup.Unlock()
	w.Header().Set("Content-Type", "application/x-tar")
	begun, bytes := time.Now(), int64(0)
	err := o.store.Backup(r.Context(), w, func(done int64) { bytes = done })
	if err != nil && bytes == 0 {
		return err
	}
	if err != nil {
		o.log.Error("backup failed", "bytes", bytes, "error", err)
		panic(http.ErrAbortHandler)
	}
	o.log.Info("backup made", "bytes", bytes, "took", time.Since(begun))
	return nil
}

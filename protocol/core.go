package protocol

import "context"

// KeyKind says which kind of actor owns a key.
type KeyKind uint8

const (
	KindConversation KeyKind = iota + 1 // a conversation or a feed, by ConversationID
	KindUser                            // a user, by UserID
	KindSite                            // the server's own settings; the id is always SiteID
)

// SiteID is the id of the only actor of KindSite.
const SiteID = "site"

func (k KeyKind) String() string {
	switch k {
	case KindConversation:
		return "conversation"
	case KindUser:
		return "user"
	case KindSite:
		return "site"
	}
	return "unknown"
}

// Key names one actor. Two equal keys are the same actor wherever it runs.
type Key struct {
	Kind KeyKind
	ID   string
}

func (k Key) String() string { return k.Kind.String() + ":" + k.ID }

// ConversationKey names the actor that owns a conversation.
func ConversationKey(id ConversationID) Key { return Key{KindConversation, string(id)} }

// UserKey names the actor that owns a user.
func UserKey(id UserID) Key { return Key{KindUser, string(id)} }

// SiteKey names the actor that owns the server's settings.
func SiteKey() Key { return Key{KindSite, SiteID} }

// Command is an order or a query for one actor. R is the type of its answer;
// the unexported method keeps the set of commands inside this package.
type Command[R any] interface {
	Key() Key
	answers(R)
}

// Core delivers commands to the actors that own their keys.
type Core interface {
	// Deliver hands over a command and returns the way to its answer, which
	// follows the durable commit of everything that the command changed.
	// Commands that one goroutine delivers to one key are handled in the order
	// of the calls. Use Do or Begin instead.
	Deliver(ctx context.Context, key Key, command any) Pending
}

// Pending waits for the answer to a command. It is to be called once. When ctx
// ends first the error is Unavailable, and the command may still happen.
type Pending func(ctx context.Context) (any, error)

// Answered is a command that has its answer already.
func Answered(answer any, err error) Pending {
	return func(context.Context) (any, error) { return answer, err }
}

// Do delivers a command and waits for its typed answer. Errors carry a Code.
func Do[R any](ctx context.Context, core Core, command Command[R]) (R, error) {
	return Begin(ctx, core, command)(ctx)
}

// Begin delivers a command without waiting for its answer, so that the next
// one can follow right behind. The result is to be called once.
func Begin[R any](ctx context.Context, core Core, command Command[R]) func(context.Context) (R, error) {
	pending := core.Deliver(ctx, command.Key(), command)
	return func(ctx context.Context) (R, error) {
		var none R
		answer, err := pending(ctx)
		if err != nil {
			return none, err
		}
		typed, ok := answer.(R)
		if !ok {
			return none, Errorf(Internal, "%T was answered with %T", command, answer)
		}
		return typed, nil
	}
}

// Done is the answer of commands that have nothing to tell but success.
type Done struct{}

// Authority tells whose token a request carries. It reads what is committed.
type Authority interface {
	// Authenticate returns the login that a token belongs to, or
	// Unauthenticated when it belongs to none.
	Authenticate(ctx context.Context, token Token) (Principal, error)
}

// Principal is who gives a command. The zero Principal may do nothing.
type Principal struct {
	User   UserID
	Class  DeviceClass
	System bool // the operator or a trusted server API: no membership or role is asked for
}

// AsUser is the principal of a user whose device does not matter.
func AsUser(id UserID) Principal { return Principal{User: id} }

// AsSystem is the principal of the operator and of trusted server APIs.
func AsSystem() Principal { return Principal{System: true} }

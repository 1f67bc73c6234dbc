package instant

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"golang.org/x/sync/errgroup"

	"instantd/protocol"
)

// maxParallel bounds the users that one command of the center works on at once.
const maxParallel = 32

// DecodeBase reads what the center says (SPEC §5): user_import,
// user_status_update, update_water_mark, platform_mq_update and the extension
// user_delete. The result are protocol commands in order; none for a cmd that
// is not known. When one element is wrong, none is returned.
func DecodeBase(body []byte) ([]any, error) {
	if len(body) > MaxBaseBody {
		return nil, protocol.Errorf(protocol.TooLarge, "the body is larger than %d bytes", MaxBaseBody)
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	cmd, present, err := o.text("cmd")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, o.missing("cmd")
	}
	cmd = strings.TrimSpace(cmd)
	if cmd == cmdWaterMark {
		return decodeWaterMark(o)
	}
	decode, known := map[string]func(object) (any, error){
		"user_import": decodeImport, "user_status_update": decodeStatus,
		"platform_mq_update": decodePlatform, "user_delete": decodeUserDelete,
	}[cmd]
	if !known {
		return nil, nil
	}
	objects, err := o.objects("data")
	if err != nil {
		return nil, err
	}
	if objects == nil {
		return nil, o.missing("data")
	}
	commands := make([]any, 0, len(objects))
	for _, element := range objects {
		command, err := decode(element)
		if err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	return commands, nil
}

func decodeImport(o object) (any, error) {
	user, err := o.requiredID("standard_id")
	if err != nil {
		return nil, err
	}
	name, _, err := o.label("name")
	if err != nil {
		return nil, err
	}
	platform, err := o.id("platform_id")
	if err != nil {
		return nil, err
	}
	sex, err := decodeSex(o)
	if err != nil {
		return nil, err
	}
	return protocol.ImportUser{User: protocol.UserID(user), Profile: protocol.Profile{
		Name: name, Sex: sex, Platform: protocol.PlatformID(platform),
	}}, nil
}

// decodeSex reads 0 male, 1 female; absent is unknown.
func decodeSex(o object) (protocol.Sex, error) {
	n, present, err := o.integer("sex")
	switch {
	case err != nil:
		return 0, err
	case !present:
		return protocol.SexUnknown, nil
	case n == 0:
		return protocol.SexMale, nil
	case n == 1:
		return protocol.SexFemale, nil
	}
	return 0, protocol.Errorf(protocol.Invalid, "%s is neither 0 nor 1", o.name("sex"))
}

func decodeStatus(o object) (any, error) {
	user, err := o.requiredID("standard_id")
	if err != nil {
		return nil, err
	}
	online, err := o.flag("online")
	if err != nil {
		return nil, err
	}
	class, err := decodeClass(o)
	if err != nil {
		return nil, err
	}
	platform, err := o.id("platform_id")
	if err != nil {
		return nil, err
	}
	text, err := o.token("token")
	if err != nil {
		return nil, err
	}
	token := ParseToken(text)
	if err := checkToken(o.name("token"), token); err != nil {
		return nil, err
	}
	if !online {
		return protocol.LogOut{User: protocol.UserID(user), Class: class, Token: token}, nil
	}
	return protocol.LogIn{
		User: protocol.UserID(user), Class: class, Token: token, Platform: protocol.PlatformID(platform),
	}, nil
}

func decodeClass(o object) (protocol.DeviceClass, error) {
	n, present, err := o.integer("type")
	switch {
	case err != nil:
		return "", err
	case !present:
		return "", o.missing("type")
	case n == 1:
		return protocol.ClassPC, nil
	case n == 2:
		return protocol.ClassApp, nil
	}
	return "", protocol.Errorf(protocol.Invalid, "%s is neither 1 (pc) nor 2 (app)", o.name("type"))
}

func decodePlatform(o object) (any, error) {
	platform, err := o.requiredID("platform_id")
	if err != nil {
		return nil, err
	}
	port, _, err := o.integer("mq_port")
	if err != nil {
		return nil, err
	}
	if port < 0 || port > 65535 {
		return nil, protocol.Errorf(protocol.Invalid, "%s is not a port", o.name("mq_port"))
	}
	broker := protocol.PlatformBroker{Platform: protocol.PlatformID(platform), Port: port}
	for field, target := range map[string]*string{
		"mq_host": &broker.Host, "mq_user": &broker.User, "mq_password": &broker.Password, "mq_vhost": &broker.Vhost,
	} {
		if *target, _, err = o.label(field); err != nil {
			return nil, err
		}
	}
	return protocol.SetPlatformBroker{Broker: broker}, nil
}

func decodeUserDelete(o object) (any, error) {
	user, err := o.requiredID("standard_id")
	if err != nil {
		return nil, err
	}
	return protocol.DeleteUser{User: protocol.UserID(user)}, nil
}

// decodeWaterMark keeps data verbatim but for blanks between its tokens.
func decodeWaterMark(o object) ([]any, error) {
	raw, ok := o.raw("data")
	if !ok {
		return nil, o.missing("data")
	}
	if c := raw[0]; c != '{' && c != '[' {
		return nil, protocol.Errorf(protocol.Invalid, "data is neither an object nor an array")
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return nil, protocol.Errorf(protocol.Invalid, "data is not JSON")
	}
	if compact.Len() > protocol.MaxContentSize {
		return nil, protocol.Errorf(protocol.TooLarge, "data is larger than %d bytes", protocol.MaxContentSize)
	}
	return []any{protocol.SetWaterMark{Raw: compact.Bytes()}}, nil
}

// Base carries out what the center says, whichever door it came through.
type Base struct {
	Core protocol.Core
	// DeclareQueues gives every login an AMQP queue. Set it when there is a broker.
	DeclareQueues bool
}

// Apply decodes a body and carries it out: what concerns one user in order,
// different users side by side. It may be repeated. The code of its error
// tells what to do: Unavailable, RateLimited and Internal mean try again;
// with every other code trying again is useless, and everything that could be
// done is done.
func (b Base) Apply(ctx context.Context, body []byte) error {
	commands, err := DecodeBase(body)
	if err != nil {
		return err
	}
	var order []protocol.Key
	runs := make(map[protocol.Key][]any)
	for _, command := range commands {
		key := command.(interface{ Key() protocol.Key }).Key()
		if _, known := runs[key]; !known {
			order = append(order, key)
		}
		runs[key] = append(runs[key], command)
	}
	failures := make([]error, len(order))
	var group errgroup.Group // ends below, with the last user
	group.SetLimit(maxParallel)
	for i, key := range order {
		group.Go(func() error {
			failures[i] = b.run(ctx, runs[key])
			return nil
		})
	}
	group.Wait()
	return worst(failures)
}

// run carries out the commands of one key. It goes on after a refusal and
// stops at what may pass, so that trying again keeps the order.
func (b Base) run(ctx context.Context, commands []any) error {
	var refused error
	for _, command := range commands {
		err := b.do(ctx, command)
		if err != nil && passing(err) {
			return err
		}
		if err != nil && refused == nil {
			refused = err
		}
	}
	return refused
}

func (b Base) do(ctx context.Context, command any) (err error) {
	switch c := command.(type) {
	case protocol.ImportUser:
		_, err = protocol.Do(ctx, b.Core, c)
	case protocol.LogIn:
		if b.DeclareQueues {
			c.Queue = QueueName(c.User)
		}
		_, err = protocol.Do(ctx, b.Core, c)
	case protocol.LogOut:
		_, err = protocol.Do(ctx, b.Core, c)
	case protocol.DeleteUser:
		_, err = protocol.Do(ctx, b.Core, c)
	case protocol.SetWaterMark:
		_, err = protocol.Do(ctx, b.Core, c)
	case protocol.SetPlatformBroker:
		_, err = protocol.Do(ctx, b.Core, c)
	default:
		err = protocol.Errorf(protocol.Internal, "%T is no command of the center", command)
	}
	return err
}

// passing tells whether an error may be gone at the next try.
func passing(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.Internal, protocol.RateLimited, protocol.Unavailable:
		return true
	}
	return false
}

// worst is the first error that asks for another try, otherwise the first.
func worst(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && passing(err) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

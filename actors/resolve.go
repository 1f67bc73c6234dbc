package actors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"golang.org/x/sync/errgroup"

	"instantd/protocol"
)

// create finds out which actor a new conversation is, and who its members are,
// before that actor decides.
func (c *Core) create(ctx context.Context, cmd protocol.CreateConversation) (any, error) {
	chosen := cmd.ID
	if chosen == "" {
		cmd.ID = newConversationID()
	}
	if cmd.Kind == protocol.Direct {
		pair := personsOf(cmd)
		id, taken, err := c.Store.Direct(pair[0], pair[1], cmd.Line)
		if err != nil {
			return nil, err
		}
		if taken && chosen != "" && chosen != id {
			return nil, protocol.Errorf(protocol.Conflict, "the pair has a conversation already")
		}
		if taken {
			cmd.ID = id
		}
	}
	_, exists, err := c.Store.Conversation(cmd.ID)
	if err != nil {
		return nil, err
	}
	if !exists {
		if cmd.Members, err = c.persons(ctx, personsOf(cmd)); err != nil {
			return nil, err
		}
	}
	created, err := c.ask(ctx, cmd.Key(), cmd)
	if cmd.Kind == protocol.Direct && chosen == "" && !exists && protocol.CodeOf(err) == protocol.Conflict {
		cmd.ID, cmd.Members = "", nil // somebody else opened it this very moment: find it
		return c.create(ctx, cmd)
	}
	return created, err
}

// add makes the persons known before the conversation's actor decides. Of
// those who may not add anybody, no user is made known.
func (c *Core) add(ctx context.Context, cmd protocol.AddMembers) protocol.Pending {
	mayAdd := cmd.By.System
	if !mayAdd {
		s, found, err := c.Store.Standing(cmd.By.User, cmd.Conversation)
		if err != nil {
			return protocol.Answered(nil, err)
		}
		mayAdd = found && s.Until == 0
	}
	if mayAdd {
		members, err := c.persons(ctx, unique(cmd.Persons))
		if err != nil {
			return protocol.Answered(nil, err)
		}
		cmd.Members = members
	}
	return c.hand(ctx, cmd.Key(), cmd)
}

// naming is how many unknown persons of one command are made known at a time.
const naming = 32

// persons resolves users to persons. The unknown become users without a name.
func (c *Core) persons(ctx context.Context, users []protocol.UserID) ([]protocol.Person, error) {
	persons := make([]protocol.Person, len(users))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(naming)
	for i, id := range users {
		user, known, err := c.Store.User(id)
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		if known {
			if user.Deleted {
				return nil, errors.Join(protocol.Errorf(protocol.Gone, "%s was deleted", id), group.Wait())
			}
			persons[i] = protocol.Person{User: id, Number: user.Number}
			continue
		}
		group.Go(func() error {
			named, err := c.ask(ctx, protocol.UserKey(id), protocol.NameUser{User: id})
			if err != nil {
				return err
			}
			persons[i] = protocol.Person{User: id, Number: named.(protocol.User).Number}
			return nil
		})
	}
	return persons, group.Wait()
}

func newConversationID() protocol.ConversationID {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return protocol.ConversationID(hex.EncodeToString(id[:]))
}

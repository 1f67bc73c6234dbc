package persistence

import (
	"bytes"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"instantd/protocol"
)

// tokens drafts what a record changes about the tokens of a user, who is as he
// was before it.
func (d *draft) tokens(before protocol.User, r protocol.Record) error {
	id := before.ID
	switch e := r.Event.(type) {
	case protocol.LoggedIn:
		old, _ := before.Login(e.Class)
		if err := d.revoke(id, e.Class, old.Token, e.Replaced); err != nil {
			return err
		}
		if e.Token != "" {
			if err := d.unclaimed(id, e.Token); err != nil {
				return err
			}
			d.set(tokenKey(e.Token), append(part(nil, id), e.Class...))
		}
	case protocol.LoggedOut:
		old, _ := before.Login(e.Class)
		return d.revoke(id, e.Class, old.Token, e.Revoked)
	case protocol.UserDeleted:
		for _, login := range before.Logins {
			if err := d.revoke(id, login.Class, login.Token); err != nil {
				return err
			}
		}
	}
	return nil
}

// unclaimed refuses a token that is the login of another user.
func (d *draft) unclaimed(id protocol.UserID, digest protocol.TokenDigest) error {
	value, found, err := d.get(tokenKey(digest))
	if err != nil || !found {
		return err
	}
	owner, _, err := decodeToken(value)
	if err != nil {
		return err
	}
	if owner != id {
		return protocol.Errorf(protocol.Conflict, "token is the login of another user")
	}
	return nil
}

// revoke drafts the end of tokens, of those that are the login's: a token that
// another login got meanwhile stays that one's.
func (d *draft) revoke(id protocol.UserID, class protocol.DeviceClass, digests ...protocol.TokenDigest) error {
	for _, digest := range digests {
		if digest == "" {
			continue
		}
		value, found, err := d.get(tokenKey(digest))
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		owner, of, err := decodeToken(value)
		if err != nil {
			return err
		}
		if owner == id && of == class {
			d.drop(tokenKey(digest))
		}
	}
	return nil
}

func decodeToken(value []byte) (protocol.UserID, protocol.DeviceClass, error) {
	user, class, found := bytes.Cut(value, []byte{0})
	if !found {
		return "", "", fmt.Errorf("token row of %d bytes is malformed", len(value))
	}
	return protocol.UserID(user), protocol.DeviceClass(class), nil
}

// TokenOwner returns whose login a token is.
func (s *Store) TokenOwner(digest protocol.TokenDigest) (user protocol.UserID, class protocol.DeviceClass, found bool, err error) {
	err = s.views.read(func(txn *badger.Txn) error {
		value, ok, err := get(txn, tokenKey(digest))
		if err != nil || !ok {
			return err
		}
		user, class, err = decodeToken(value)
		found = err == nil
		return err
	})
	if err != nil {
		return "", "", false, fmt.Errorf("token owner: %w", err)
	}
	return user, class, found, nil
}

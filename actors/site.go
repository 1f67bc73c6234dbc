package actors

import "instantd/protocol"

// site are the rules of the server's settings.
type site struct{ protocol.Site }

func (s *site) load(store Store) (err error) {
	s.Site, err = store.Site()
	return err
}

func (s *site) facts(Store, any) (facts, error) { return facts{}, nil }

func (s *site) decide(command any, _ facts) (decision, error) {
	switch cmd := command.(type) {
	case protocol.SetWaterMark:
		return events(protocol.WaterMarkChanged{Raw: cmd.Raw})
	case protocol.SetPlatformBroker:
		if s.Platforms[cmd.Broker.Platform] == cmd.Broker {
			return decision{}, nil
		}
		return events(protocol.PlatformBrokerChanged{Broker: cmd.Broker})
	case protocol.SiteOf:
		return answer(s.Site)
	}
	return decision{}, protocol.Errorf(protocol.Internal, "the site knows no %T", command)
}

func (s *site) apply(r protocol.Record) { s.Site = s.Site.Apply(r) }

func (s *site) publication(r protocol.Record) *protocol.Publication {
	return protocol.NewPublication(r)
}

func (s *site) head() protocol.Seq { return 0 }
func (s *site) exists() bool       { return true }
func (s *site) busy() bool         { return false }
func (s *site) unsaved() any       { return nil }

package protocol

import "maps"

// SetWaterMark stores the center's display water mark and forwards it to all
// clients. Raw is its JSON, verbatim.
type SetWaterMark struct{ Raw []byte }

func (SetWaterMark) Key() Key     { return SiteKey() }
func (SetWaterMark) answers(Done) {}

// PlatformBroker is how to reach the message broker of another platform.
type PlatformBroker struct {
	Platform PlatformID `cbor:"1,keyasint"`
	Host     string     `cbor:"2,keyasint,omitempty"`
	Port     int        `cbor:"3,keyasint,omitempty"`
	User     string     `cbor:"4,keyasint,omitempty"`
	Password string     `cbor:"5,keyasint,omitempty"`
	Vhost    string     `cbor:"6,keyasint,omitempty"`
}

// SetPlatformBroker stores how to reach a platform. It replaces what was known.
type SetPlatformBroker struct{ Broker PlatformBroker }

func (SetPlatformBroker) Key() Key     { return SiteKey() }
func (SetPlatformBroker) answers(Done) {}

// SiteOf asks for the server's settings.
type SiteOf struct{}

func (SiteOf) Key() Key     { return SiteKey() }
func (SiteOf) answers(Site) {}

// Site is the server's settings.
type Site struct {
	WaterMark []byte                        `cbor:"1,keyasint,omitempty"`
	Platforms map[PlatformID]PlatformBroker `cbor:"2,keyasint,omitempty"`
}

// Apply returns the settings as the record leaves them.
func (s Site) Apply(r Record) Site {
	switch e := r.Event.(type) {
	case WaterMarkChanged:
		s.WaterMark = e.Raw
	case PlatformBrokerChanged:
		s.Platforms = maps.Clone(s.Platforms)
		if s.Platforms == nil {
			s.Platforms = map[PlatformID]PlatformBroker{}
		}
		s.Platforms[e.Broker.Platform] = e.Broker
	}
	return s
}

// WaterMarkChanged is a new water mark.
type WaterMarkChanged struct {
	Raw []byte `cbor:"1,keyasint"`
}

// PlatformBrokerChanged is a new broker of a platform.
type PlatformBrokerChanged struct {
	Broker PlatformBroker `cbor:"1,keyasint"`
}

func (WaterMarkChanged) event()      {}
func (PlatformBrokerChanged) event() {}

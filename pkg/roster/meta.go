package roster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-metrics/rollcall/pkg/identity"
)

// meta is what a member tells about itself besides its name and address. Every
// member holds everyone's, and every join sends all of them, so it is small:
//
//	byte 0     format, 1
//	byte 1     role: 1 agent, 2 aggregator
//	byte 2     flags: bit 0 leaving, others ignored
//	bytes 3-4  peer port, big endian
//	bytes 5-8  start, Unix seconds, big endian
//	byte 9     length of the version
//	bytes 10-  version, then what later programs may add, ignored
type meta struct {
	role     identity.Role
	leaving  bool
	peerPort uint16
	start    time.Time // whole seconds, to the year 2106
	version  string
}

const (
	metaFormat = 1
	metaFixed  = 10
	// metaMax bounds the meta in bytes: 5000 of 64 are a third of what a join sends.
	metaMax = 64
	// versionMax is enough for v1.22.333-rc.1+abcdef0.
	versionMax = 24

	flagLeaving = 1 << 0
)

// A longer meta does not compile, rather than refuse to start (or panic, which
// is what memberlist does beyond 512 bytes).
const _ = uint(metaMax - metaFixed - versionMax)

// encode shortens the version to 24 bytes of printable ASCII.
func (m meta) encode() []byte {
	b := make([]byte, metaFixed, metaFixed+versionMax)
	b[0] = metaFormat
	switch m.role {
	case identity.Agent:
		b[1] = 1
	case identity.Aggregator:
		b[1] = 2
	}
	if m.leaving {
		b[2] |= flagLeaving
	}
	binary.BigEndian.PutUint16(b[3:], m.peerPort)
	binary.BigEndian.PutUint32(b[5:], uint32(m.start.Unix()))
	for i := 0; i < len(m.version) && i < versionMax; i++ {
		c := m.version[i]
		if !printable(c) {
			c = '_'
		}
		b = append(b, c)
	}
	b[9] = byte(len(b) - metaFixed)
	return b
}

// decodeMeta reads what anyone with the gossip key may have written. It keeps
// nothing of b.
func decodeMeta(b []byte) (meta, error) {
	switch {
	case len(b) < metaFixed:
		return meta{}, fmt.Errorf("meta of %d bytes, at least %d", len(b), metaFixed)
	case len(b) > metaMax:
		return meta{}, fmt.Errorf("meta of %d bytes, at most %d", len(b), metaMax)
	case b[0] != metaFormat:
		return meta{}, fmt.Errorf("meta of format %d, known is %d", b[0], metaFormat)
	}
	m := meta{
		leaving:  b[2]&flagLeaving != 0,
		peerPort: binary.BigEndian.Uint16(b[3:]),
		start:    time.Unix(int64(binary.BigEndian.Uint32(b[5:])), 0),
	}
	switch b[1] {
	case 1:
		m.role = identity.Agent
	case 2:
		m.role = identity.Aggregator
	default:
		return meta{}, fmt.Errorf("meta of unknown role %d", b[1])
	}
	if m.role == identity.Agent && m.peerPort == 0 {
		return meta{}, errors.New("meta of an agent without a peer port")
	}
	n := int(b[9])
	if n > versionMax || n > len(b)-metaFixed {
		return meta{}, fmt.Errorf("meta with a version of %d bytes", n)
	}
	version := b[metaFixed : metaFixed+n]
	for _, c := range version {
		if !printable(c) {
			return meta{}, errors.New("meta with a version that is not printable ASCII")
		}
	}
	m.version = string(version)
	return m, nil
}

// printable keeps versions harmless in logs, labels and pages.
func printable(c byte) bool { return '!' <= c && c <= '~' }

package crowd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// The types and messages of memberlist v0.7.0, net.go. A message is its type
// and the struct in msgpack, with the names of the fields.
const (
	pingType byte = iota
	indirectPingType
	ackType
	suspectType
	aliveType
	deadType
	pushPullType
	compoundType
	userType
	compressType
	encryptType
	nackType
	crcType
)

type ping struct {
	SeqNo uint32
	Node  string // whom it is for

	// Where the answer goes.
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}

type indirectPing struct {
	SeqNo  uint32
	Target []byte
	Port   uint16
	Node   string
	Nack   bool

	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}

type ack struct {
	SeqNo   uint32
	Payload []byte
}

type nack struct{ SeqNo uint32 }

type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []byte
}

// accusation is memberlist's suspect, and its dead; one that is From the Node
// itself is a leave.
type accusation struct {
	Incarnation uint32
	Node        string
	From        string
}

type pushPullHeader struct {
	Nodes        int
	UserStateLen int
	Join         bool
}

// nodeState is one member in a push/pull.
type nodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       memberlist.NodeStateType
	Vsn         []byte
}

// version is what every member speaks: protocol 1 to 5, at present 2; delegate 0.
var version = []byte{memberlist.ProtocolVersionMin, memberlist.ProtocolVersionMax, memberlist.ProtocolVersion2Compatible, 0, 0, 0}

// msgpack is shared, as it keeps what it has learned about types; that is safe
// for concurrent use. A new one for each message takes three times as long, and
// a guest sends a thousand messages a second when it has joined.
var msgpack = &codec.MsgpackHandle{}

// encode writes messages one after the other; only the first has a type.
func encode[T any](kind byte, messages ...T) []byte {
	var buf bytes.Buffer
	buf.WriteByte(kind)
	enc := codec.NewEncoder(&buf, msgpack)
	for i := range messages {
		if err := enc.Encode(&messages[i]); err != nil {
			panic(err) // structs of plain fields, into memory
		}
	}
	return buf.Bytes()
}

// decode reads what a guest sent, without its type.
func decode[T any](b []byte) (T, error) {
	var v T
	err := codec.NewDecoderBytes(b, msgpack).Decode(&v)
	return v, err
}

func newDecoder(r io.Reader) *codec.Decoder { return codec.NewDecoder(r, msgpack) }

const (
	compoundHead = 2 // bytes: the type and the number of messages
	compoundEach = 2 // bytes for the length of one
	compoundMax  = 255
)

// compound packs at most compoundMax messages into one.
func compound(messages [][]byte) []byte {
	if len(messages) == 1 {
		return messages[0]
	}
	b := []byte{compoundType, byte(len(messages))}
	for _, m := range messages {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
	}
	for _, m := range messages {
		b = append(b, m...)
	}
	return b
}

var errTruncated = errors.New("truncated message")

// split takes apart what compound packed, without its type.
func split(b []byte) ([][]byte, error) {
	if len(b) < 1 || len(b) < 1+compoundEach*int(b[0]) {
		return nil, errTruncated
	}
	n := int(b[0])
	lengths, b := b[1:], b[1+compoundEach*n:]
	messages := make([][]byte, n)
	for i := range messages {
		size := int(binary.BigEndian.Uint16(lengths[compoundEach*i:]))
		if len(b) < size {
			return nil, errTruncated
		}
		messages[i], b = b[:size], b[size:]
	}
	return messages, nil
}

// checked takes off the checksum, if there is one.
func checked(b []byte) ([]byte, error) {
	if len(b) < 5 || b[0] != crcType {
		return b, nil
	}
	if crc32.ChecksumIEEE(b[5:]) != binary.BigEndian.Uint32(b[1:]) {
		return nil, errors.New("wrong checksum")
	}
	return b[5:], nil
}

package crowd

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/hashicorp/memberlist"
)

const (
	// sealVersion is AES-GCM without padding, what protocols from 2 on use.
	sealVersion byte = 1
	// sealOverhead is the version, the nonce and the tag, in bytes.
	sealOverhead = 1 + 12 + 16
	// streamHead is the type and the length before a sealed stream, in bytes.
	streamHead = 1 + 4
	// maxStream bounds a push/pull in bytes, as memberlist does; 5000 members
	// are 1 MB.
	maxStream = 20 << 20
)

var (
	errLabel     = errors.New("another label")
	errEncrypted = errors.New("encrypted, and there is no key")
	errPlain     = errors.New("not encrypted")
)

// seal is what keeps strangers out: the label and, if there is a key, AES-GCM
// (memberlist's security.go and label.go).
type seal struct {
	label string
	gcm   cipher.AEAD // nil without a key
}

func newSeal(label string, key []byte) (seal, error) {
	if len(label) > memberlist.LabelMaxSize {
		return seal{}, fmt.Errorf("label of %d bytes, at most %d", len(label), memberlist.LabelMaxSize)
	}
	if len(key) == 0 {
		return seal{label: label}, nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, err
	}
	gcm, err := cipher.NewGCM(block)
	return seal{label, gcm}, err
}

// overhead is what a packet grows by, in bytes.
func (s seal) overhead() int {
	n := 0
	if s.label != "" {
		n += 2 + len(s.label)
	}
	if s.gcm != nil {
		n += sealOverhead
	}
	return n
}

// encrypt appends to dst.
func (s seal) encrypt(dst, plain, data []byte) []byte {
	nonce := make([]byte, s.gcm.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	dst = append(dst, sealVersion)
	dst = append(dst, nonce...)
	return s.gcm.Seal(dst, nonce, plain, data)
}

func (s seal) decrypt(b, data []byte) ([]byte, error) {
	if len(b) < sealOverhead || b[0] != sealVersion {
		return nil, errPlain
	}
	b = b[1:]
	nonce := b[:s.gcm.NonceSize()]
	return s.gcm.Open(nil, nonce, b[len(nonce):], data)
}

// packet makes a packet out of a message.
func (s seal) packet(message []byte) []byte {
	if s.gcm != nil {
		message = s.encrypt(nil, message, []byte(s.label))
	}
	b, err := memberlist.AddLabelHeaderToPacket(message, s.label)
	if err != nil {
		panic(err) // of a label that is too long, which newSeal refuses
	}
	return b
}

// openPacket is the reverse. The message may be in b's memory.
func (s seal) openPacket(b []byte) ([]byte, error) {
	b, label, err := memberlist.RemoveLabelHeaderFromPacket(b)
	if err != nil {
		return nil, err
	}
	if label != s.label {
		return nil, errLabel
	}
	if s.gcm != nil {
		if b, err = s.decrypt(b, []byte(label)); err != nil {
			return nil, err
		}
	}
	return checked(b)
}

// stream makes what is sent over TCP out of a message. Who dials sends the
// label before it, who answers does not.
func (s seal) stream(message []byte) []byte {
	if s.gcm == nil {
		return message
	}
	head := binary.BigEndian.AppendUint32([]byte{encryptType}, uint32(len(message)+sealOverhead))
	return s.encrypt(head, message, append(bytes.Clone(head), s.label...))
}

// openStream is the reverse, behind the label. It returns the type of the
// message, and where to read the rest.
func (s seal) openStream(r io.Reader) (kind byte, _ io.Reader, _ error) {
	br := bufio.NewReader(r)
	kind, err := br.ReadByte()
	switch {
	case err != nil:
		return 0, nil, err
	case s.gcm == nil && kind == encryptType:
		return 0, nil, errEncrypted
	case s.gcm == nil:
		return kind, io.LimitReader(br, maxStream), nil
	case kind != encryptType:
		return 0, nil, errPlain
	}
	head := [streamHead]byte{encryptType}
	if _, err := io.ReadFull(br, head[1:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxStream {
		return 0, nil, fmt.Errorf("stream of %d bytes, at most %d", size, maxStream)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(br, b); err != nil {
		return 0, nil, err
	}
	plain, err := s.decrypt(b, append(head[:], s.label...))
	if err != nil {
		return 0, nil, err
	}
	if len(plain) == 0 {
		return 0, nil, errTruncated
	}
	return plain[0], bytes.NewReader(plain[1:]), nil
}

// acceptLabel reads the label that who dialed has sent.
func (s seal) acceptLabel(conn net.Conn) (net.Conn, error) {
	inner, label, err := memberlist.RemoveLabelHeaderFromStream(conn)
	if err != nil {
		return nil, err
	}
	if inner == conn {
		return nil, io.EOF // memberlist's sign that nothing was sent
	}
	if label != s.label {
		return nil, errLabel
	}
	return inner, nil
}

package identity

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// PEM is the certificate in use with its chain, and its key (PKCS #8), for
// another TLS server of this process that wants them so. It is as new as a
// handshake's: files are looked at, if it is time to. It fails as long as there
// is no certificate.
func (s *Source) PEM() (cert, key []byte, err error) {
	m := s.latest()
	if m == nil {
		return nil, nil, errNoCertificate
	}
	der, err := x509.MarshalPKCS8PrivateKey(m.cert.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %s: %w", m.self, err)
	}
	for _, c := range m.cert.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c})...)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// Notify has changed called each time that another certificate or CA has come into
// use, for as long as there is the Source. Of files that is when something looked
// at them, be it PEM. changed must return at once: a handshake may wait for it.
func (s *Source) Notify(changed func()) {
	s.listening.Lock()
	defer s.listening.Unlock()
	s.listeners = append(s.listeners, changed)
}

// notify calls those that are to be.
func (s *Source) notify() {
	s.listening.Lock()
	listeners := s.listeners
	s.listening.Unlock()
	for _, changed := range listeners {
		changed()
	}
}

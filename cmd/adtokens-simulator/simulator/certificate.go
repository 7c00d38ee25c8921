package simulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Certificate says what is wrong with the certificate of a server.
type Certificate string

// The certificates.
const (
	CertificateGood    Certificate = ""
	CertificateExpired Certificate = "expired" // signed by the CA to trust, and not valid any more
	CertificateForeign Certificate = "foreign" // signed by another CA than the one to trust
)

// NewCertificate returns a certificate for the loopback names and the PEM of the new CA to trust for it.
func NewCertificate(kind Certificate) (tls.Certificate, []byte, error) {
	switch kind {
	case CertificateGood:
		return newCertificate(time.Now().Add(7 * 24 * time.Hour))
	case CertificateExpired:
		return newCertificate(time.Now().Add(-time.Minute))
	case CertificateForeign:
		certificate, _, err := NewCertificate(CertificateGood)
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		_, ca, err := NewCertificate(CertificateGood)
		return certificate, ca, err
	default:
		return tls.Certificate{}, nil, fmt.Errorf("unknown certificate %q: use expired or foreign", kind)
	}
}

// newCertificate returns a certificate that is valid until then, and the PEM of the new CA that signed it.
func newCertificate(until time.Time) (tls.Certificate, []byte, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("generating the CA's key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("generating the certificate's key: %w", err)
	}
	from := time.Now().Add(-time.Hour)
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "adtokens simulator CA"},
		NotBefore:             from,
		NotAfter:              time.Now().Add(7 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("creating the CA: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "adtokens simulator"},
		NotBefore:    from,
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("creating the certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), nil
}

package cloud

import (
	"bytes"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyPair is a key that instances can be started with.
type keyPair struct {
	object
	name, fingerprint, kind string
	authorized              string // as a line of authorized_keys
}

// newKey makes a key as EC2 hands it out: PEM of PKCS 1 for RSA, OpenSSH's own form for ED25519.
func newKey(kind string) (private []byte, public ssh.PublicKey, err error) {
	switch kind {
	case "", "rsa":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		public, err = ssh.NewPublicKey(&key.PublicKey)
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), public, err
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return nil, nil, err
		}
		public, err = ssh.NewPublicKey(key.Public())
		return pem.EncodeToMemory(block), public, err
	}
	return nil, nil, problem("InvalidParameterValue", "Value (%s) for parameter KeyType is invalid. Valid values are: rsa, ed25519", kind)
}

func addKey(c *call, name, kind string, public ssh.PublicKey) (*keyPair, error) {
	if _, there := c.region.keys[name]; there {
		return nil, problem("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	sum := md5.Sum(public.Marshal())
	t, err := c.tagged("key-pair")
	if err != nil {
		return nil, err
	}
	k := &keyPair{object: c.fresh("key", c.text("Action")), name: name, kind: kind, fingerprint: strings.Trim(strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":"), ":"),
		authorized: string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(public))) + " " + name}
	k.tags = t["key-pair"]
	c.region.keys[name] = k
	return k, nil
}

type keyAnswer struct {
	Name        string    `xml:"keyName"`
	Fingerprint string    `xml:"keyFingerprint"`
	Material    string    `xml:"keyMaterial,omitempty"`
	ID          string    `xml:"keyPairId"`
	Kind        string    `xml:"keyType,omitempty"`
	Tags        []tagItem `xml:"tagSet>item"`
}

func (k *keyPair) answer() keyAnswer {
	return keyAnswer{Name: k.name, Fingerprint: k.fingerprint, ID: k.id, Kind: k.kind, Tags: k.tags.items()}
}

func createKey(c *call) (any, error) {
	name, err := c.must("KeyName")
	if err != nil {
		return nil, err
	}
	kind := c.or("KeyType", "rsa")
	private, public, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	k, err := addKey(c, name, kind, public)
	if err != nil {
		return nil, err
	}
	a := k.answer()
	a.Material = string(private)
	return a, nil
}

func importKey(c *call) (any, error) {
	name, err := c.must("KeyName")
	if err != nil {
		return nil, err
	}
	material, err := base64.StdEncoding.DecodeString(c.text("PublicKeyMaterial"))
	if err != nil {
		return nil, problem("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(material)
	if err != nil {
		return nil, problem("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k, err := addKey(c, name, strings.TrimPrefix(public.Type(), "ssh-"), public)
	if err != nil {
		return nil, err
	}
	return k.answer(), nil
}

func missingKey(name string) error {
	return problem("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
}

func describeKeys(c *call) (any, error) {
	var out struct {
		Keys []keyAnswer `xml:"keySet>item"`
	}
	ids := c.list("KeyPairId")
	for _, name := range c.list("KeyName") {
		k, ok := c.region.keys[name]
		if !ok {
			return nil, missingKey(name)
		}
		ids = append(ids, k.id)
	}
	byID := map[string]*keyPair{}
	for _, k := range c.region.keys {
		byID[k.id] = k
	}
	found, err := describe(byID, func(k *keyPair) *object { return &k.object }, ids, c.params, func(k *keyPair) attributes {
		return attributes{"key-name": {k.name}, "key-pair-id": {k.id}, "fingerprint": {k.fingerprint}}
	}, missingKey)
	for _, k := range found {
		out.Keys = append(out.Keys, k.answer())
	}
	return out, err
}

// deleteKey succeeds for a key that is not there, as the service does.
func deleteKey(c *call) (any, error) {
	for name, k := range c.region.keys {
		if name == c.text("KeyName") || k.id == c.text("KeyPairId") {
			delete(c.region.keys, name)
		}
	}
	return ok()
}

package functions

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/crypto/ssh"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
)

func encodings() map[string]function.Function {
	return map[string]function.Function{
		"base64encode":     text(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
		"base64decode":     text(base64Decode),
		"base64gzip":       text(base64Gzip),
		"urlencode":        text(func(s string) (string, error) { return url.QueryEscape(s), nil }),
		"urldecode":        text(url.QueryUnescape),
		"textencodebase64": text2("string", "encoding", textEncode, cty.String),
		"textdecodebase64": text2("source", "encoding", textDecode, cty.String),
	}
}

func base64Decode(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("base64decode: the text is not base64: %w", err)
	}
	if !utf8.Valid(b) {
		return "", errors.New("base64decode: the decoded bytes are not UTF-8 text")
	}
	return string(b), nil
}

func base64Gzip(s string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// charset finds an encoding by its IANA name.
func charset(name string) (encoding.Encoding, error) {
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil || e == nil {
		return nil, fmt.Errorf("the character encoding %q is unknown; use a name of the IANA registry, such as UTF-16LE", name)
	}
	return e, nil
}

func textEncode(s, name string) (cty.Value, error) {
	e, err := charset(name)
	if err != nil {
		return cty.NilVal, fmt.Errorf("textencodebase64: %w", err)
	}
	b, err := e.NewEncoder().Bytes([]byte(s))
	if err != nil {
		return cty.NilVal, fmt.Errorf("textencodebase64: the text cannot be written in %s: %w", name, err)
	}
	return cty.StringVal(base64.StdEncoding.EncodeToString(b)), nil
}

func textDecode(s, name string) (cty.Value, error) {
	e, err := charset(name)
	if err != nil {
		return cty.NilVal, fmt.Errorf("textdecodebase64: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return cty.NilVal, fmt.Errorf("textdecodebase64: the text is not base64: %w", err)
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return cty.NilVal, fmt.Errorf("textdecodebase64: the bytes are not %s: %w", name, err)
	}
	return cty.StringVal(string(out)), nil
}

// hashes are the digests, in hexadecimal, and rsadecrypt. MD5 and SHA-1 are there because templates use them.
func hashes() map[string]function.Function {
	return map[string]function.Function{
		"md5":        text(func(s string) (string, error) { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"sha1":       text(func(s string) (string, error) { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"sha256":     text(func(s string) (string, error) { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"sha512":     text(func(s string) (string, error) { h := sha512.Sum512([]byte(s)); return hex.EncodeToString(h[:]), nil }),
		"rsadecrypt": text2("ciphertext", "privatekey", rsaDecrypt, cty.String),
	}
}

// rsaDecrypt decrypts base64 text by PKCS #1 v1.5, which is how EC2 hands over a Windows password.
func rsaDecrypt(text, pem string) (cty.Value, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return cty.NilVal, errors.New("rsadecrypt: the encrypted text is not base64")
	}
	raw, err := ssh.ParseRawPrivateKey([]byte(pem))
	if err != nil {
		return cty.NilVal, errors.New("rsadecrypt: the private key is not PEM without a passphrase")
	}
	key, ok := raw.(*rsa.PrivateKey)
	if !ok {
		return cty.NilVal, errors.New("rsadecrypt: the private key is not an RSA key")
	}
	//lint:ignore SA1019 it is what rsadecrypt means in Packer and Terraform; nobody but the template's author sees the outcome
	out, err := rsa.DecryptPKCS1v15(rand.Reader, key, b)
	if err != nil {
		return cty.NilVal, errors.New("rsadecrypt: the text was not encrypted for this key")
	}
	return cty.StringVal(string(out)), nil
}

package build

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// stageRevision is part of every fingerprint. Raise it when a step comes to do something else to the guest or to the
// artifact, or when fingerprints are made in another way: whatever was kept before is then made again.
const stageRevision = 2

// The kinds of things that are hashed. Each is followed by its parts, and what can have any length or number by that
// first, so that no two different trees are written alike.
const (
	markNull   = 'z'
	markFalse  = 'n'
	markTrue   = 'y'
	markNumber = '#'
	markText   = '"'
	markSecret = '*'
	markString = 's' // a number of texts and secrets
	markFile   = 'f' // a local file or directory of the stage
	markList   = '['
	markObject = '{'
)

// encoder writes trees of JSON in one unambiguous form. Secrets are written as an HMAC.
type encoder struct {
	w       io.Writer
	secrets []string // longest first
	key     []byte
	// file tells the number of a local path among the files of the stage; nil where there are no local paths.
	file func(name string) (n int, ok bool)
}

func (e encoder) mark(m byte, n int) {
	var b [9]byte
	b[0] = m
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	_, _ = e.w.Write(b[:]) // a hash cannot fail
}

// tree writes one value; local says that the strings in it are paths.
func (e encoder) tree(v any, local bool) {
	switch v := v.(type) {
	case nil:
		e.mark(markNull, 0)
	case bool:
		if v {
			e.mark(markTrue, 0)
		} else {
			e.mark(markFalse, 0)
		}
	case json.Number:
		e.mark(markNumber, 0)
		e.text(v.String())
	case string:
		e.string(v, local)
	case []any:
		e.mark(markList, len(v))
		for _, item := range v {
			e.tree(item, local)
		}
	case map[string]any:
		e.mark(markObject, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			e.text(name)
			e.tree(v[name], local)
		}
	default:
		panic(fmt.Sprintf("build: a %T is no JSON", v)) // schema.Value holds nothing else
	}
}

// string writes a text, or the path of a file of the stage: only its last element can matter to the guest, and not even
// that if a slash at the end asks for the content of a directory.
func (e encoder) string(s string, local bool) {
	if local && e.file != nil {
		if n, ok := e.file(s); ok {
			e.mark(markFile, n)
			e.text(lastElement(s))
			return
		}
	}
	e.text(s)
}

func lastElement(name string) string {
	if strings.HasSuffix(name, "/") {
		return "/"
	}
	return path.Base(name)
}

// text writes a string in pieces: what is secret in it under the key, the rest as it is.
func (e encoder) text(s string) {
	pieces := split(s, e.secrets)
	e.mark(markString, len(pieces))
	for _, p := range pieces {
		if !p.secret {
			e.mark(markText, len(p.text))
			_, _ = io.WriteString(e.w, p.text)
			continue
		}
		mac := hmac.New(sha256.New, e.key)
		_, _ = io.WriteString(mac, p.text)
		e.mark(markSecret, mac.Size())
		_, _ = e.w.Write(mac.Sum(nil))
	}
}

type piece struct {
	text   string
	secret bool
}

// split cuts a string at the secrets in it, the longest first where several begin.
func split(s string, secrets []string) []piece {
	var pieces []piece
	plain := 0
	for i := 0; i < len(s); {
		secret := at(s[i:], secrets)
		if secret == "" {
			i++
			continue
		}
		if plain < i {
			pieces = append(pieces, piece{s[plain:i], false})
		}
		pieces = append(pieces, piece{secret, true})
		i += len(secret)
		plain = i
	}
	if plain < len(s) {
		pieces = append(pieces, piece{s[plain:], false})
	}
	return pieces
}

func at(s string, secrets []string) string {
	for _, secret := range secrets {
		if strings.HasPrefix(s, secret) {
			return secret
		}
	}
	return ""
}

// recipe collects the ingredients of one stage.
type recipe struct {
	encoder
	reads  []Ingredient
	files  []bool   // whether that ingredient is a file, whose name does not count
	locals []string // the local names, by number
	why    reason
}

// value adds an argument.
func (r *recipe) value(name string, v schema.Value) {
	r.add(name, false, func(e encoder) { e.tree(v.Tree, v.Local) })
}

// text adds a value that is no argument.
func (r *recipe) text(name, value string) {
	r.add(name, false, func(e encoder) { e.text(value) })
}

func (r *recipe) add(name string, file bool, write func(encoder)) {
	h := sha256.New()
	e := r.encoder
	e.w = h
	write(e)
	r.reads = append(r.reads, Ingredient{Name: name, Digest: hex.EncodeToString(h.Sum(nil))})
	r.files = append(r.files, file)
}

// never notes why the stage cannot be cached; the first reason counts.
func (r *recipe) never(why reason) {
	if r.why == (reason{}) {
		r.why = why
	}
}

// fingerprint is that of a stage of this name after the one with the fingerprint before.
func (r *recipe) fingerprint(name, before string) string {
	h := sha256.New()
	e := encoder{w: h}
	e.text("boxkiln stage")
	e.mark(markNumber, stageRevision)
	e.text(name)
	e.text(before)
	e.mark(markList, len(r.reads))
	for i, in := range r.reads {
		if r.files[i] {
			e.mark(markFile, 0)
		} else {
			e.text(in.Name)
		}
		e.text(in.Digest)
	}
	return sum(h)
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// What is known of bytes besides the bytes is kept under their digest: the same box in two versions has the same contents,
// packages and signatures. Collect removes it, after a grace that begins anew whenever it is kept again.

// SetContents keeps what an inspection found in a box. It may be kept again.
func (r *Registry) SetContents(ctx context.Context, d blob.Digest, s boxfile.Summary) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return r.know(ctx, knownContents, d, string(text))
}

// Contents is what SetContents kept, or ErrNotFound.
func (r *Registry) Contents(ctx context.Context, d blob.Digest) (s boxfile.Summary, err error) {
	text, err := r.known(ctx, knownContents, d)
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	return s, err
}

// SetPackages keeps the list of packages in a box, a CycloneDX document. It may be kept again.
func (r *Registry) SetPackages(ctx context.Context, d blob.Digest, sbom json.RawMessage) error {
	if !json.Valid(sbom) {
		return fmt.Errorf("the packages of %s: want a JSON document", d.Short())
	}
	return r.know(ctx, knownPackages, d, string(sbom))
}

// Packages is the document that SetPackages kept, byte by byte, or ErrNotFound.
func (r *Registry) Packages(ctx context.Context, d blob.Digest) (json.RawMessage, error) {
	text, err := r.known(ctx, knownPackages, d)
	return json.RawMessage(text), err
}

// AddSignatures keeps the texts of signature files that are about the bytes, one behind the other, behind those that are kept
// already: the same bytes may be in several versions, each of which is signed as itself.
func (r *Registry) AddSignatures(ctx context.Context, d blob.Digest, files string) error {
	return r.know(ctx, knownSignatures, d, files)
}

// Signatures are all the texts that AddSignatures kept, or ErrNotFound.
func (r *Registry) Signatures(ctx context.Context, d blob.Digest) (string, error) {
	return r.known(ctx, knownSignatures, d)
}

// knowledge is a table of the kind "digest, something about it, when".
type knowledge struct{ what, set, get string }

var (
	knownContents = knowledge{
		"contents",
		`INSERT INTO blob_contents (digest, summary, created_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET summary = excluded.summary, created_at = excluded.created_at`,
		`SELECT summary FROM blob_contents WHERE digest = ?`,
	}
	knownPackages = knowledge{
		"list of packages",
		`INSERT INTO blob_packages (digest, sbom, created_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET sbom = excluded.sbom, created_at = excluded.created_at`,
		`SELECT sbom FROM blob_packages WHERE digest = ?`,
	}
	knownSignatures = knowledge{
		"signature",
		`INSERT INTO blob_signatures (digest, signature, created_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET signature = signature || excluded.signature, created_at = excluded.created_at`,
		`SELECT signature FROM blob_signatures WHERE digest = ?`,
	}
)

func (r *Registry) know(ctx context.Context, k knowledge, d blob.Digest, text string) error {
	if _, err := blob.ParseDigest(string(d)); err != nil {
		return err
	}
	return r.write(ctx, func(t transaction) error {
		_, err := t.ExecContext(ctx, k.set, string(d), text, t.now)
		return err
	})
}

func (r *Registry) known(ctx context.Context, k knowledge, d blob.Digest) (text string, err error) {
	err = r.db.R.QueryRowContext(ctx, k.get, string(d)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%s of %s: %w", k.what, d.Short(), boxregistry.ErrNotFound)
	}
	return text, err
}

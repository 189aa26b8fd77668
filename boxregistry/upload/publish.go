package upload

import (
	"context"
	"errors"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// admit says into which place a good box goes, and refuses it when the place was taken or closed meanwhile.
func (r *Receiver) admit(ctx context.Context, p boxregistry.Publication, s boxfile.Summary) (boxregistry.Publication, error) {
	to, err := agree(p, s)
	if err != nil {
		return p, err
	}
	err = r.Registry.Check(ctx, to)
	if to.DeclaredAs != "" && stays(err) {
		to.File.Architecture, to.DeclaredAs = to.DeclaredAs, ""
		err = r.Registry.Check(ctx, to)
	}
	return to, err
}

// publish makes bytes visible that store puts into the blob store. A crash between its steps leaves a blob that is
// collected, or whose upload is repeated.
func (r *Receiver) publish(ctx context.Context, u boxregistry.Upload, p boxregistry.Publication, s boxfile.Summary,
	store func(context.Context) (blob.Info, error)) (boxregistry.File, error) {
	if err := r.fault("upload.received"); err != nil {
		return p.File, err
	}
	if _, err := store(ctx); err != nil {
		return p.File, err
	}
	err := errors.Join(r.fault("upload.stored"), r.Registry.SetContents(ctx, p.File.Digest, s), r.fault("upload.known"))
	if err == nil {
		err = r.Registry.Publish(beginner(ctx, u), p)
	}
	if err != nil {
		return p.File, full(err)
	}
	if err := r.fault("upload.published"); err != nil {
		return p.File, err
	}
	u.Came = p.File.Digest
	// It is published: what became of the note is no matter to the client, who could only send the bytes again.
	if err := r.Rows.SaveUpload(context.WithoutCancel(ctx), u); err != nil && !errors.Is(err, boxregistry.ErrNotFound) {
		r.Log.WarnContext(ctx, "the end of an upload could not be noted", "box", p.Box, "version", p.Version, "err", err)
	}
	return r.published(ctx, p)
}

// by notes who begins an upload.
func by(ctx context.Context, u boxregistry.Upload) boxregistry.Upload {
	who := auth.PrincipalFrom(ctx)
	u.By, u.ByUser = who.Name, who.User
	return u
}

// beginner makes who began an upload the one who publishes, when the request says nothing itself: who has the secret of
// a whole upload needs no token. It permits nothing.
func beginner(ctx context.Context, u boxregistry.Upload) context.Context {
	if auth.PrincipalFrom(ctx).Name != "" {
		return ctx
	}
	return auth.WithPrincipal(ctx, auth.Principal{Name: u.By, User: u.ByUser})
}

// published is the file as it is in the registry now.
func (r *Receiver) published(ctx context.Context, p boxregistry.Publication) (boxregistry.File, error) {
	found, err := r.look(context.WithoutCancel(ctx), p)
	if err != nil {
		return p.File, err
	}
	return found.file, nil
}

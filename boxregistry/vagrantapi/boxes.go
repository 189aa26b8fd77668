package vagrantapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// createBox makes an empty box, private unless told otherwise, as on Vagrant Cloud.
func (a *API) createBox(r request) (any, error) {
	editor, err := a.editor()
	if err != nil {
		return nil, err
	}
	if err := r.known(); err != nil {
		return nil, err
	}
	body, err := readBody[boxBody](r, "box")
	if err != nil {
		return nil, err
	}
	name, err := boxregistry.ParseName(body.Username + "/" + body.Name)
	if err != nil {
		return nil, err
	}
	if err := r.mayWrite(name.Org()); err != nil {
		return nil, err
	}
	b := boxregistry.Box{Name: name, Private: true}
	body.describe(&b)
	if err := editor.CreateBox(r.ctx(), b); err != nil {
		return nil, err
	}
	return a.afterwards(r, name, boxregistry.Stable)
}

// describe changes a box as the client says.
func (b boxBody) describe(box *boxregistry.Box) {
	if b.ShortDescription != nil {
		box.ShortDescription = *b.ShortDescription
	}
	if b.Description != nil {
		box.Description = *b.Description
	}
	if b.Private != nil {
		box.Private = bool(*b.Private)
	}
}

// afterwards is the box as a change left it.
func (a *API) afterwards(r request, name boxregistry.Name, channel boxregistry.Channel) (any, error) {
	b, err := a.boxes.Box(r.ctx(), name)
	if err != nil {
		return nil, err
	}
	return r.detail(target{b, channel})
}

func (a *API) getBox(r request) (any, error) {
	t, err := a.readable(r)
	if errors.Is(err, boxregistry.ErrNotFound) && a.packerAsks(r) {
		t, err = a.autoCreate(r)
	}
	if err != nil {
		return nil, err
	}
	return r.detail(t)
}

// packerAsks recognises Packer's vagrant-cloud post-processor, which is about to publish: it is a Go program that announces
// JSON where there is no body.
func (a *API) packerAsks(r request) bool {
	return !a.o.NoAutoCreate && a.o.Editor != nil && r.Request.Method == http.MethodGet &&
		strings.HasPrefix(r.GetHeader("User-Agent"), "Go-http-client/") && r.ContentType() == "application/json" &&
		r.who.PermitsIn(r.Param("org"), auth.Write)
}

// autoCreate makes the box that Packer asks for. Another Packer may be doing the same.
func (a *API) autoCreate(r request) (target, error) {
	name, channel, err := named(r.Context)
	if err != nil {
		return target{}, err
	}
	err = a.o.Editor.CreateBox(r.ctx(), boxregistry.Box{Name: name, Private: true})
	if err != nil && !errors.Is(err, boxregistry.ErrExists) {
		return target{}, err
	}
	b, err := a.boxes.Box(r.ctx(), name)
	return target{b, channel}, err
}

// updateBox changes what the client sends and leaves the rest. A name renames the box within its organisation.
func (a *API) updateBox(r request) (any, error) {
	t, err := a.writable(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody[boxBody](r, "box")
	if err != nil {
		return nil, err
	}
	name := t.Name
	if body.Name != "" && body.Name != r.Param("box") {
		if name, err = boxregistry.ParseName(name.Org() + "/" + body.Name); err != nil {
			return nil, err
		}
	}
	err = a.o.Editor.EditBox(r.ctx(), t.Name, func(b *boxregistry.Box) error {
		body.describe(b)
		b.Name = name
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.afterwards(r, name, t.channel)
}

// deleteBox hides a box; it can be restored until it is purged. The answer is what it was.
func (a *API) deleteBox(r request) (any, error) {
	t, err := a.writable(r)
	if err != nil {
		return nil, err
	}
	if err := a.o.Editor.DeleteBox(r.ctx(), t.Name); err != nil {
		return nil, err
	}
	return r.detail(t)
}

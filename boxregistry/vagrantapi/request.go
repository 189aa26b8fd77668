package vagrantapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// request is one request to Vagrant Cloud's API.
type request struct {
	*gin.Context
	who     auth.Principal
	base    string // of URLs in the answer
	version string // "v1" or "v2"
}

func (r request) ctx() context.Context { return r.Request.Context() }

// handler returns the value that is the answer's JSON, or the error. All success is 200: Packer takes nothing else for
// success in several places.
type handler func(request) (any, error)

func (a *API) answer(version string, h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		c.Header("X-Content-Type-Options", "nosniff")
		r := request{c, auth.PrincipalFrom(c.Request.Context()), a.o.BaseURL.For(c.Request), version}
		out, err := h(r)
		if err != nil {
			a.fail(c, err)
			return
		}
		c.JSON(http.StatusOK, out)
	}
}

// known refuses those who did not prove who they are.
func (r request) known() error {
	if r.who.Known() {
		return nil
	}
	if last := r.Errors.Last(); last != nil && !errors.Is(last.Err, auth.ErrRefused) {
		return last.Err // the token could not be looked up: the fault is here
	}
	return refuse(http.StatusUnauthorized,
		"Unauthorized: the token is missing, unknown, expired or revoked; log in with a token of this registry (vagrant cloud auth login --token TOKEN)")
}

// mayWrite refuses those who may not write in an organisation.
func (r request) mayWrite(org string) error {
	if err := r.known(); err != nil {
		return err
	}
	if !r.who.PermitsIn(org, auth.Write) {
		return refuse(http.StatusForbidden, "Forbidden: %q may not write in the organisation %q; ask its admin for a token with the scope write", username(r.who), org)
	}
	return nil
}

// sees tells whether somebody may read a box of an organisation.
func (a *API) sees(p auth.Principal, org string, private bool) bool {
	if private {
		return p.PermitsIn(org, auth.Read)
	}
	return !a.closedTo(p)
}

// closedTo tells whether somebody sees no box at all.
func (a *API) closedTo(p auth.Principal) bool { return a.o.Closed && !p.Known() }

// needs refuses what this registry was put together without.
func needs(there bool, what string) error {
	if there {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "This registry runs without %s; ask whoever runs it.", what)
}

func (a *API) editor() (Editor, error) {
	return a.o.Editor, needs(a.o.Editor != nil, "the part that changes boxes")
}

// target is a box that a path names, with the channel that is in its name: "org/box~candidate" is the box as those see it who
// follow that channel, and what is released under that name goes there.
type target struct {
	boxregistry.Box
	channel boxregistry.Channel
}

// named reads the name in the path.
func named(c *gin.Context) (boxregistry.Name, boxregistry.Channel, error) {
	return boxregistry.ParseFollowed(c.Param("org") + "/" + c.Param("box"))
}

// readable finds the box that the path names, for those who may read it; to others it is missing.
func (a *API) readable(r request) (target, error) {
	name, channel, err := named(r.Context)
	if err != nil {
		return target{}, err
	}
	b, err := a.boxes.Box(r.ctx(), name)
	if err == nil && !a.sees(r.who, b.Name.Org(), b.Private) {
		err = boxregistry.ErrNotFound
	}
	return target{b, channel}, err
}

// writable finds the box that the path names, for those who may change it.
func (a *API) writable(r request) (target, error) {
	if err := needs(a.o.Editor != nil, "the part that changes boxes"); err != nil {
		return target{}, err
	}
	if err := r.known(); err != nil {
		return target{}, err
	}
	t, err := a.readable(r)
	if err == nil {
		err = r.mayWrite(t.Name.Org())
	}
	return t, err
}

// release finds the version that the path names in a box. Drafts and revoked versions are there for those only who may write.
func (r request) release(b boxregistry.Box) (boxregistry.Release, error) {
	v, err := boxregistry.ParseVersion(r.Param("version"))
	if err != nil {
		return boxregistry.Release{}, err
	}
	rel, ok := b.Release(v)
	if !ok || !rel.Deleted.IsZero() || !rel.Open() && !r.who.PermitsIn(b.Name.Org(), auth.Write) {
		return rel, refuse(http.StatusNotFound, "Resource not found! The box %s has no version %s.", b.Name, v)
	}
	return rel, nil
}

// writableRelease finds box and version of the path, for those who may change them.
func (a *API) writableRelease(r request) (target, boxregistry.Release, error) {
	t, err := a.writable(r)
	if err != nil {
		return t, boxregistry.Release{}, err
	}
	rel, err := r.release(t.Box)
	return t, rel, err
}

package vagrantapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/boxkiln/boxkiln/boxregistry"
)

func (a *API) createVersion(r request) (any, error) {
	t, err := a.writable(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody[versionBody](r, "version")
	if err != nil {
		return nil, err
	}
	v, err := boxregistry.ParseVersion(body.Version)
	if err != nil {
		return nil, err
	}
	description := ""
	if body.Description != nil {
		description = *body.Description
	}
	if err := a.o.Editor.CreateVersion(r.ctx(), t.Name, v, description); err != nil {
		return nil, err
	}
	return a.versionAfterwards(r, t, v)
}

// versionAfterwards is a version as a change left it.
func (a *API) versionAfterwards(r request, t target, v boxregistry.Version) (any, error) {
	b, err := a.boxes.Box(r.ctx(), t.Name)
	if err != nil {
		return nil, err
	}
	rel, ok := b.Release(v)
	if !ok {
		return nil, fmt.Errorf("%s %s: %w", t.Name, v, boxregistry.ErrNotFound)
	}
	return r.urls().release(target{b, t.channel}, rel), nil
}

func (a *API) getVersion(r request) (any, error) {
	t, err := a.readable(r)
	if err != nil {
		return nil, err
	}
	rel, err := r.release(t.Box)
	return r.urls().release(t, rel), err
}

// updateVersion changes the notes of a version, in any state, and the number of a draft.
func (a *API) updateVersion(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody[versionBody](r, "version")
	if err != nil {
		return nil, err
	}
	v := rel.Version
	if body.Version != "" && body.Version != v.String() {
		if v, err = boxregistry.ParseVersion(body.Version); err != nil {
			return nil, err
		}
		if err := a.o.Editor.Renumber(r.ctx(), t.Name, rel.Version, v); err != nil {
			return nil, err
		}
	}
	if body.Description != nil && *body.Description != rel.Description {
		if err := a.o.Editor.DescribeVersion(r.ctx(), t.Name, v, *body.Description); err != nil {
			return nil, err
		}
	}
	return a.versionAfterwards(r, t, v)
}

// deleteVersion hides a version; it can be restored until it is purged. The answer is what it was.
func (a *API) deleteVersion(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	return r.urls().release(t, rel), a.o.Editor.DeleteVersion(r.ctx(), t.Name, rel.Version)
}

// releaseVersion opens a version to those who follow the channel in the box's name, the stable one if there is none. One that is
// released into another channel is promoted; one that is there already is refused in the words that Packer takes for success.
func (a *API) releaseVersion(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	switch {
	case rel.State == boxregistry.Revoked:
		return nil, refuse(http.StatusUnprocessableEntity, "Version %s of %s was revoked and cannot be released again; publish under another number.", rel.Version, t.Name)
	case slices.Contains(rel.Channels, t.channel):
		return nil, refuse(http.StatusUnprocessableEntity, "Version %s of %s has already been released.", rel.Version, t.Name)
	case rel.State == boxregistry.Released:
		err = a.o.Editor.Promote(r.ctx(), t.Name, rel.Version, t.channel)
	default:
		err = a.o.Editor.Release(r.ctx(), t.Name, rel.Version, t.channel)
	}
	if err != nil {
		return nil, err
	}
	return a.versionAfterwards(r, t, rel.Version)
}

func (a *API) revokeVersion(r request) (any, error) {
	t, rel, err := a.writableRelease(r)
	if err != nil {
		return nil, err
	}
	if err := a.o.Editor.Revoke(r.ctx(), t.Name, rel.Version, ""); err != nil {
		return nil, err
	}
	return a.versionAfterwards(r, t, rel.Version)
}

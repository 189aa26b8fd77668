package daemon

import (
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/mirror"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/boxregistry/vagrantapi"
	"github.com/boxkiln/boxkiln/daemon/imports"
)

// MirrorConfig says which registries are mirrored. The zero value mirrors none.
type MirrorConfig struct {
	Sources []mirror.Source
	TTL     time.Duration // how long a catalog is used without asking again; 0 for the mirror's own
	Offline bool          // ask nobody, and serve what is here
}

const (
	// keepParts is how long what has arrived of a file is kept when nobody goes on with it.
	keepParts = 7 * 24 * time.Hour
	// mirrorWait is how long a server may ask a mirror to wait: a client waits too, and is told instead.
	mirrorWait = 30 * time.Second
)

// moveIn is what brings boxes here from elsewhere.
type moveIn struct {
	fetchers []*upstream.Fetcher
	imports  *imports.Manager
	mirror   *mirror.Mirror // nil when nothing is mirrored
}

// openMoveIn makes what brings boxes here. It needs the registry.
func (d *Daemon) openMoveIn() error {
	dir := d.cfg.Data.Fetches()
	patient := &upstream.Fetcher{Dir: dir, Client: upstream.NewClient()}
	if err := patient.Sweep(keepParts); err != nil {
		return err
	}
	d.moveIn = moveIn{
		fetchers: []*upstream.Fetcher{patient},
		imports:  imports.New(imports.Config{Target: d.registry, Fetcher: patient, Log: d.cfg.Log, Now: d.cfg.Now}),
	}
	if m := d.cfg.Mirror; len(m.Sources) > 0 {
		fetcher := &upstream.Fetcher{Dir: dir, Client: upstream.NewClient(), MaxWait: mirrorWait}
		d.moveIn.fetchers = append(d.moveIn.fetchers, fetcher)
		d.moveIn.mirror = mirror.New(mirror.Config{Sources: m.Sources, TTL: m.TTL, Offline: m.Offline, Boxes: d.registry, Cache: d.registry,
			Fetcher: fetcher, Log: d.cfg.Log, Now: d.cfg.Now})
	}
	return nil
}

// boxes is what Vagrant sees: the registry, and what is mirrored.
func (d *Daemon) boxes() vagrantapi.Boxes {
	if d.moveIn.mirror != nil {
		return d.moveIn.mirror
	}
	return d.registry
}

// close ends imports and fetches; what has arrived is kept.
func (m moveIn) close() {
	if m.imports != nil {
		m.imports.Close()
	}
	if m.mirror != nil {
		m.mirror.Close()
	}
	for _, f := range m.fetchers {
		f.Close()
	}
}

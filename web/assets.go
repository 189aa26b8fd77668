package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"
)

//go:embed assets
var assetFiles embed.FS

// asset is one file that pages refer to.
type asset struct {
	digest string // in its URL, so that browsers may keep it for ever
	data   []byte
}

type assets map[string]asset

func loadAssets() (assets, error) {
	out := assets{}
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		sum := sha256.Sum256(data)
		out[path.Base(name)] = asset{digest: hex.EncodeToString(sum[:6]), data: data}
		return err
	})
	return out, err
}

func (a assets) url(name string) string { return "/assets/" + a[name].digest + "/" + name }

// asset serves one embedded file under the path that url gives, and nothing under any other.
func (s *Site) asset(c *gin.Context) {
	a, ok := s.assets[c.Param("name")]
	if !ok || a.digest != c.Param("digest") {
		s.NotFound(c)
		return
	}
	secure(c)
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Data(http.StatusOK, mime.TypeByExtension(path.Ext(c.Param("name"))), a.data)
}

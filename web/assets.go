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

// assets are the files that pages refer to. Their common digest is in their URLs, so that browsers may keep them for
// ever, and so that a module that imports its neighbour by a relative URL gets the one of its own age.
type assets struct {
	digest string
	files  map[string][]byte
}

func loadAssets() (assets, error) {
	out, sum := assets{files: map[string][]byte{}}, sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		sum.Write(data)
		out.files[path.Base(name)] = data
		return err
	})
	out.digest = hex.EncodeToString(sum.Sum(nil)[:6])
	return out, err
}

func (a assets) url(name string) string { return "/assets/" + a.digest + "/" + name }

// asset serves one embedded file under the path that url gives, and nothing under any other.
func (s *Site) asset(c *gin.Context) {
	data, ok := s.assets.files[c.Param("name")]
	if !ok || s.assets.digest != c.Param("digest") {
		s.NotFound(c)
		return
	}
	secure(c)
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Data(http.StatusOK, mime.TypeByExtension(path.Ext(c.Param("name"))), data)
}

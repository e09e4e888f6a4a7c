// Leaflet shows pictures here, not the Earth: coordinates are px. NiceGUI loads this before it makes a map.
L.Map.mergeOptions({ crs: L.CRS.Simple });

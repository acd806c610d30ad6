"""Pictures. The only room that imports matplotlib; nothing here touches its global state or opens a window."""

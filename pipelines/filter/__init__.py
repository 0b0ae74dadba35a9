"""Rows -> the same rows; those that the dataset does not want are marked `filtered`.

| file       | what it filters by                                             | when            |
|------------|----------------------------------------------------------------|-----------------|
| captions   | a caption's language, where it is certain                      | before fetching |
| pictures   | shorter side and aspect of a picture                           | after fetching  |
| frames     | change between the frames of a clip                            | after fetching  |
| sounds     | length, loudness and clipping of a clip's sound                | after fetching  |
| custom     | whatever a class of one's own says                             | after fetching  |
| duplicates | equal media under different URLs                               | at publish      |
| marking    | nothing: it marks a row as filtered                            | -               |
"""

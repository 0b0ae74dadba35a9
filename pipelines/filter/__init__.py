"""Rows -> the same rows, those that the dataset does not want marked `filtered`.

| file       | what it filters by                                             | when            |
|------------|----------------------------------------------------------------|-----------------|
| captions   | the language that a caption is surely in                       | before fetching |
| pictures   | shorter side and aspect of a picture                           | after fetching  |
| sounds     | length and loudness of a clip                                  | after fetching  |
| duplicates | equal media under different URLs                               | at publish      |
| marking    | how a stage writes that a row is filtered                      | -               |
"""
